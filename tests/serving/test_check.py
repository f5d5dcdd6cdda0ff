"""A healthy model passes the check, and each broken one is named."""

import json
import shutil
from pathlib import Path

import pytest

from prompteol import PromptEOL
from prompteol.serving.check import check


def edit(path, **values):
    record = json.loads(Path(path).read_text())
    Path(path).write_text(json.dumps({**record, **values}))


@pytest.fixture
def copied(saved, tmp_path):
    """A copy of a saved model's folder, to break."""

    def copy(architecture="llama"):
        return Path(shutil.copytree(saved(architecture)[0], tmp_path / "model"))

    return copy


@pytest.mark.parametrize("architecture", ["llama", "opt", "gpt2", "qwen2"])
def test_a_healthy_model_passes(saved, architecture):
    found = check(saved(architecture)[0])
    assert found.healthy, found.faults
    assert [one.check for one in found.findings if one.verdict == "right"][-1] == "stock sentence-transformers"
    assert "vLLM" in [one.check for one in found.findings]


def test_pooling_by_the_mean_is_named(copied):
    folder = copied()
    edit(folder / "1_Pooling" / "config.json", pooling_mode="mean")
    found = check(folder)
    assert found.faults == ["files"]
    assert "pooling_mode='lasttoken'" in found.findings[0].detail


def test_a_cut_at_the_left_is_named(copied):
    folder = copied()
    edit(folder / "tokenizer_config.json", truncation_side="left")
    found = check(folder)
    assert found.faults == ["files"]
    assert "truncation_side" in found.findings[0].detail


def test_a_pad_token_without_an_embedding_is_named(saved):
    model = PromptEOL(saved("llama")[0], device="cpu")
    model.tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    assert check(model).faults == ["pad token"]


def test_a_pad_token_that_prompts_hold_is_named(saved):
    model = PromptEOL(saved("llama")[0], device="cpu")
    model.tokenizer.pad_token = model.tokenizer.convert_ids_to_tokens(model.module.prompter.tail()[-1])
    assert "pad token" in check(model).faults


def test_a_layer_that_servers_do_not_read_is_mentioned(tiny):
    found = check(PromptEOL(tiny("llama"), layer=-2, device="cpu"))
    assert found.healthy, found.faults
    assert "layer" in [one.check for one in found.findings]
