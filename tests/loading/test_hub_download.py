"""Models are loaded by name from a local server of the Hub's protocol: revisions, tokens, caches, broken downloads."""

import os
import subprocess
import sys

import numpy as np
import pytest
from huggingface_hub import constants
from peft import LoraConfig, get_peft_model
from sentence_transformers import SentenceTransformer
from transformers import AutoModelForCausalLM

from hub_server import READ_TOKEN, TOKEN
from prompteol import PromptEOL
from prompteol.errors import ModelNotFoundError


@pytest.fixture
def saved(tiny, tmp_path):
    PromptEOL(tiny("llama"), layer=-2, device="cpu").save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


def test_a_revision_is_a_branch_or_a_commit(hub, tiny, saved, tmp_path):
    there = hub.upload("me/tiny", saved)
    first = there.branches["main"][-1]
    PromptEOL(tiny("llama"), template="prompt", device="cpu").save_pretrained(tmp_path / "other")
    repository_of_other = hub.upload("me/other", tmp_path / "other")
    there.commit("v2", repository_of_other.files())
    there.commit("main", repository_of_other.files())
    assert PromptEOL("me/tiny", revision=first, device="cpu").layer == -2
    assert PromptEOL("me/tiny", device="cpu").layer == -1
    assert PromptEOL("me/tiny", revision="v2", device="cpu").layer == -1
    with pytest.raises(ModelNotFoundError, match="'me/tiny' has no revision 'v9' on the Hub"):
        PromptEOL("me/tiny", revision="v9")


@pytest.mark.parametrize("how", [{"private": True}, {"gated": True}], ids=str)
def test_what_is_not_for_everybody(hub, saved, monkeypatch, how):
    hub.upload("me/tiny", saved, **how)
    expected = SentenceTransformer(str(saved), device="cpu").encode("hello")
    assert np.allclose(PromptEOL("me/tiny", token=TOKEN, device="cpu").encode("hello"), expected, atol=1e-5)
    assert np.allclose(SentenceTransformer("me/tiny", device="cpu").encode("hello"), expected, atol=1e-5)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", constants.HF_HUB_CACHE + "-2")
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", constants.HF_HUB_CACHE)
    message = "accept its license there" if how == {"gated": True} else "a private one needs token"
    for token in (False, READ_TOKEN) if how == {"gated": True} else (False,):
        with pytest.raises(ModelNotFoundError, match=message):
            PromptEOL("me/tiny", token=token)


def test_a_token_that_the_hub_does_not_know(hub, saved):
    hub.upload("me/tiny", saved)
    with pytest.raises(ModelNotFoundError, match="the Hub does not know the token"):
        PromptEOL("me/tiny", token="hf_revoked")


def test_a_name_that_nobody_has(hub):
    with pytest.raises(ModelNotFoundError, match="no model 'me/none' on the Hub"):
        PromptEOL("me/none")


def test_the_cache_serves_when_the_hub_does_not(hub, saved, monkeypatch):
    hub.upload("me/tiny", saved)
    online = PromptEOL("me/tiny", device="cpu").encode("hello")
    hub.fail("", status=503)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    assert np.array_equal(PromptEOL("me/tiny", device="cpu").encode("hello"), online)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.requests.clear()
    assert np.array_equal(PromptEOL("me/tiny", device="cpu").encode("hello"), online)
    assert np.allclose(SentenceTransformer("me/tiny", device="cpu").encode("hello"), online, atol=1e-5)
    assert hub.requests == []


def test_a_download_that_is_cut_goes_on_where_it_was_cut(hub, saved, monkeypatch):
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)
    hub.upload("me/tiny", saved)
    hub.fail("GET /objects", cut_after=100_000, times=1)
    expected = SentenceTransformer(str(saved), device="cpu").encode("hello")
    assert np.allclose(PromptEOL("me/tiny", device="cpu").encode("hello"), expected, atol=1e-5)
    ranges = [one.range for one in hub.asked("GET /objects")]
    assert ranges == [None, "bytes=100000-"]


def test_an_adapter_and_its_base_by_name(hub, tiny, tmp_path):
    hub.upload("me/base", tiny("llama"), private=True)
    config = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained("me/base"), config)
    model.save_pretrained(tmp_path / "adapter")
    hub.upload("me/adapter", tmp_path / "adapter")
    adapted = PromptEOL("me/adapter", device="cpu")
    assert not np.allclose(adapted.encode("hello"), PromptEOL("me/base", device="cpu").encode("hello"), atol=1e-3)
    adapted.push_to_hub("me/pushed")
    assert hub.repositories["me/pushed"].files().keys() >= {"adapter_config.json", "adapter_model.safetensors"}
    for kind in (PromptEOL, SentenceTransformer):
        again = kind("me/pushed", device="cpu")
        assert np.allclose(again.encode("hello"), adapted.encode("hello"), atol=1e-5)


def test_a_fresh_process_with_hf_endpoint(hub, saved, tmp_path):
    hub.upload("me/tiny", saved, private=True)
    code = (
        "import sys; from sentence_transformers import SentenceTransformer as S; import numpy as np\n"
        "np.save(sys.argv[1], S('me/tiny', device='cpu').encode('hello')); assert 'prompteol' not in sys.modules"
    )
    online = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    online |= {"HF_HOME": str(tmp_path / "home"), "HF_TOKEN": TOKEN}
    environment = {name: value for name, value in os.environ.items() if name != "SENTENCE_TRANSFORMERS_HOME"}
    subprocess.run([sys.executable, "-c", code, tmp_path / "a.npy"], env=environment | online, check=True, timeout=120)
    expected = SentenceTransformer(str(saved), device="cpu").encode("hello")
    assert np.allclose(np.load(tmp_path / "a.npy"), expected, atol=1e-5)
