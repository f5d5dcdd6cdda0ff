"""Models by Hub name are read from a cache without network."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from httpx import Request, Response
from huggingface_hub.errors import RevisionNotFoundError
from peft import LoraConfig, get_peft_model
from sentence_transformers import SentenceTransformer
from transformers import AutoModelForCausalLM

from prompteol import PromptEOL
from prompteol.errors import ModelNotFoundError

REVISION = "0123456789abcdef0123456789abcdef01234567"


def into_cache(cache: Path, name: str, folder: str | Path) -> None:
    """Lay a folder into a Hub cache as a download would."""
    repository = cache / ("models--" + name.replace("/", "--"))
    shutil.copytree(folder, repository / "snapshots" / REVISION)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(REVISION)


def test_a_base_model_and_a_saved_model_by_name(tiny, tmp_path):
    cache = tmp_path / "cache"
    into_cache(cache, "someone/tiny-llama", tiny("llama"))
    model = PromptEOL("someone/tiny-llama", cache_folder=str(cache), layer=-2, device="cpu")
    assert model.model_card_data.model_name == "prompteol/tiny-llama"
    model.save_pretrained(tmp_path / "saved", create_model_card=False)
    into_cache(cache, "someone/promptEOL-tiny", tmp_path / "saved")
    again = PromptEOL("someone/promptEOL-tiny", cache_folder=str(cache), revision="main", device="cpu")
    stock = SentenceTransformer("someone/promptEOL-tiny", cache_folder=str(cache), device="cpu")
    assert again.layer == -2
    assert again.model_card_data.model_name == "someone/promptEOL-tiny"
    assert np.allclose(again.encode("hello"), model.encode("hello"), atol=1e-5)
    assert np.allclose(stock.encode("hello"), model.encode("hello"), atol=1e-5)


def test_an_adapter_by_name_finds_its_base_by_name(tiny, tmp_path):
    cache = tmp_path / "cache"
    into_cache(cache, "someone/tiny-opt", tiny("opt"))
    adapter = get_peft_model(
        AutoModelForCausalLM.from_pretrained(tiny("opt")), LoraConfig(r=2, target_modules=["q_proj"])
    )
    adapter.save_pretrained(tmp_path / "adapter")
    config = tmp_path / "adapter" / "adapter_config.json"
    config.write_text(config.read_text().replace(tiny("opt"), "someone/tiny-opt"))
    into_cache(cache, "someone/prompteol-tiny-opt", tmp_path / "adapter")
    model = PromptEOL("someone/prompteol-tiny-opt", cache_folder=str(cache), device="cpu")
    # A fresh LoRA adds zero, so the vectors are the base's.
    assert np.allclose(model.encode("hello"), PromptEOL(tiny("opt"), device="cpu").encode("hello"), atol=1e-5)


def test_a_revision_that_is_not_there(tiny, tmp_path):
    into_cache(tmp_path, "someone/tiny-llama", tiny("llama"))
    with pytest.raises(ModelNotFoundError, match="someone/tiny-llama"):
        PromptEOL("someone/tiny-llama", cache_folder=str(tmp_path), revision="v9")


def test_a_revision_that_the_hub_does_not_have(monkeypatch):
    def missing(*_, **__):
        raise RevisionNotFoundError("404", response=Response(404, request=Request("GET", "https://example.org")))

    monkeypatch.setattr("prompteol.hub.hf_hub_download", missing)
    with pytest.raises(ModelNotFoundError, match="'someone/model' has no revision 'v9'"):
        PromptEOL("someone/model", revision="v9")
