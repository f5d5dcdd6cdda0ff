"""Merged is base plus adapter, is not the base, and nothing else is let through."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer

from prompteol import PromptEOL
from prompteol.errors import ModelError
from prompteol.training import merge

SENTENCES = ["A man sings.", "The dog sleeps here.", "Rain."]


def test_one_model_with_its_base(adapter, tiny, tmp_path):
    merged = merge(adapter.output, device="cpu")
    assert merged.from_parts < 1e-5
    assert merged.from_base > 1e-2
    merged.model.save_pretrained(tmp_path / "merged")
    assert (tmp_path / "merged" / "model.safetensors").is_file()
    assert not (tmp_path / "merged" / "adapter_config.json").exists()
    expected = adapter.model.encode(SENTENCES)
    got = SentenceTransformer(str(tmp_path / "merged"), device="cpu").encode(SENTENCES)
    assert np.abs(got - expected).max() < 1e-5 * np.abs(expected).max()
    card = (tmp_path / "merged" / "README.md").read_text()
    assert "## Training\n\n- Base:" in card
    assert "merged with" in card
    assert PromptEOL(tmp_path / "merged", device="cpu").words("A man sings.", k=1)


def test_where_the_base_has_moved(adapter, tiny, tmp_path):
    moved = shutil.copytree(tiny("llama"), tmp_path / "moved")
    lost = shutil.copytree(adapter.output, tmp_path / "lost")
    config = json.loads((lost / "adapter_config.json").read_text())
    (lost / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": "/gone/away"}))
    with pytest.raises(ModelError, match="/gone/away"):
        merge(lost, device="cpu")
    merged = merge(lost, base=moved, device="cpu")
    expected = adapter.model.encode(SENTENCES)
    assert np.abs(merged.model.encode(SENTENCES) - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("other", [{"layers": 2}, {"layers": 6}, {"hidden_size": 64}])
def test_another_base_is_refused(adapter, tiny, other):
    with pytest.raises(ModelError, match=r"adapter '.*' does not fit its base '.*'.*was it trained on another model"):
        merge(adapter.output, base=tiny("llama", **other), device="cpu")


def test_what_changes_nothing_is_no_result(adapter, tmp_path):
    idle = shutil.copytree(adapter.output, tmp_path / "idle")
    weights = load_file(idle / "adapter_model.safetensors")
    save_file({name: torch.zeros_like(value) for name, value in weights.items()}, idle / "adapter_model.safetensors")
    with pytest.raises(ModelError, match=r"changes nothing: merged and base differ by 0\.0e\+00"):
        merge(idle, device="cpu")


def test_merging_that_goes_wrong_is_noticed(adapter, monkeypatch):
    from peft.tuners.lora import Linear

    weight = Linear.get_delta_weight
    monkeypatch.setattr(Linear, "get_delta_weight", lambda layer, name: 1.1 * weight(layer, name))
    with pytest.raises(ModelError, match="gives other vectors than base plus adapter"):
        merge(adapter.output, device="cpu")


def test_a_base_alone(tiny):
    with pytest.raises(ModelError, match="is no adapter"):
        merge(tiny("llama"), device="cpu")


def test_the_authors_form_loads_by_name_with_their_template(adapter, tiny, tmp_path):
    """Their folders hold two files: a pickled state and a configuration of 2023, with no template."""
    folder = tmp_path / "prompteol-opt-1.3b"
    folder.mkdir()
    model = PromptEOL(tiny("opt"), device="cpu")
    torch.manual_seed(0)
    state = {}
    for name, weight in model.module.transformer.model.state_dict().items():
        if name.endswith(("q_proj.weight", "fc1.weight")):
            stem = f"base_model.model.model.{name.removesuffix('.weight')}"
            state[f"{stem}.lora_A.weight"] = torch.randn(4, weight.shape[1])
            state[f"{stem}.lora_B.weight"] = 0.1 * torch.randn(weight.shape[0], 4)
    torch.save(state, folder / "adapter_model.bin")
    config = {
        "base_model_name_or_path": tiny("opt"),
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_alpha": 16,
        "lora_dropout": 0.05,
        "modules_to_save": None,
        "peft_type": "LORA",
        "r": 4,
        "target_modules": ["q_proj", "fc1"],
        "task_type": "CAUSAL_LM",
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    loaded = PromptEOL(folder, device="cpu")
    assert str(loaded.template) == 'This sentence : "{text}" means in one word:"'
    vectors = loaded.encode(SENTENCES)
    assert np.abs(vectors - model.encode(SENTENCES)).max() > 0.01
    merged = merge(folder, device="cpu")
    assert np.abs(merged.model.encode(SENTENCES) - vectors).max() < 1e-4 * np.abs(vectors).max()


@pytest.mark.filterwarnings("ignore:.*bias:UserWarning")
def test_what_cannot_be_merged_is_said_in_one_line(tiny, tmp_path):
    from peft import LoraConfig

    model = PromptEOL(tiny("llama"), device="cpu")
    model.add_adapter(LoraConfig(r=4, target_modules=["q_proj"], lora_bias=True, init_lora_weights=False))
    model.save_pretrained(tmp_path, create_model_card=False)
    with pytest.raises(ModelError, match=r"cannot be merged into its base: layers\.0\.self_attn\.q_proj: .*lora_bias"):
        merge(tmp_path, device="cpu")
