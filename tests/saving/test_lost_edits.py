"""An edit that no saved file holds is named when the model is saved; what files hold is saved in silence."""

import peft
import pytest
import torch
from sentence_transformers.sentence_transformer.modules import Pooling
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from prompteol import PromptEOL
from prompteol.testing import tiny_model


def epsilon(backbone):
    backbone.layers[0].input_layernorm.variance_epsilon = 0.5


def activation(backbone):
    backbone.layers[1].mlp.act_fn = nn.ReLU()


def hook(backbone):
    backbone.layers[1].mlp.register_forward_hook(lambda _, __, output: 2 * output)


def frequencies(backbone):
    backbone.rotary_emb.inv_freq.mul_(3)


def fewer_layers(backbone):
    backbone.layers = backbone.layers[:2]


class Doubled(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, states):
        return 2 * self.inner(states)


def foreign_module(backbone):
    backbone.layers[0].mlp = Doubled(backbone.layers[0].mlp)


def configuration(backbone):
    backbone.config.rms_norm_eps = 0.25


EDITS = {
    epsilon: r"layers\.0\.input_layernorm\.variance_epsilon is 0\.5, and a model .* has 1e-06, so a loaded model",
    activation: r"layers\.1\.mlp\.act_fn is ReLU, and a model .* has SiLU",
    hook: "the model has a forward hook on LlamaMLP, and a model read from the saved files has not",
    frequencies: r"rotary_emb\.inv_freq is edited, and",
    fewer_layers: r"layers\.2 is gone, and a model .* has LlamaDecoderLayer",
    foreign_module: r"layers\.0\.mlp is Doubled, and a model .* has LlamaMLP",
    configuration: r"variance_epsilon is 1e-06, and a model .* has 0\.25",
}


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
@pytest.mark.parametrize("layer", [-1, -2])
def test_an_edit_that_no_file_holds_is_named(tiny, tmp_path, edit, layer):
    model = PromptEOL(tiny("llama"), layer=layer, device="cpu")
    edit(model.transformers_model)
    with pytest.warns(RuntimeWarning, match=EDITS[edit]) as warned:
        model.save(tmp_path, create_model_card=False)
    assert len(warned) == 1
    assert warned[0].filename == __file__


def test_an_edit_below_an_adapter_is_named(tiny, tmp_path):
    model = PromptEOL(tiny("llama"), device="cpu")
    model.add_adapter(peft.LoraConfig(r=2, target_modules=["q_proj"]))
    model.save(tmp_path / "adapter", create_model_card=False)
    epsilon(model.transformers_model)
    with pytest.warns(RuntimeWarning, match=EDITS[epsilon]):
        model.save(tmp_path / "edited", create_model_card=False)


def test_a_hook_on_the_pooling_is_named(tiny, tmp_path):
    model = PromptEOL(tiny("llama"), device="cpu")
    model.module.pooling.register_forward_hook(lambda _, __, output: output)
    with pytest.warns(RuntimeWarning, match=f"a forward hook on {Pooling.__name__}"):
        model.save(tmp_path, create_model_card=False)


def save_in_silence(model, folder):
    """Save a model; pytest turns warnings into errors."""
    state = torch.get_rng_state()
    model.save(folder, create_model_card=False)
    assert torch.equal(state, torch.get_rng_state())


OTHERS = {
    "bloom": {"n_layer": 2, "n_head": 4},
    "falcon": {},
    "gemma2": {"head_dim": 8, "sliding_window": 6},
    "gemma3_text": {"head_dim": 8, "sliding_window": 6},
    "gpt_neox": {"rotary_pct": 0.5},
    "mamba": {"state_size": 4},
    "mixtral": {"num_local_experts": 4},
    "phi3": {},
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.filterwarnings("ignore:.* cannot be run with a shared prefix")
def test_other_architectures_are_saved_in_silence(tiny, tmp_path, name):
    tokenizer = AutoTokenizer.from_pretrained(tiny("llama"))
    tokenizer.save_pretrained(tmp_path / "base")
    shape = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "intermediate_size": 48,
    }
    ids = {f"{token}_token_id": getattr(tokenizer, f"{token}_token_id") for token in ("bos", "eos", "pad")}
    config = AutoConfig.for_model(name, vocab_size=len(tokenizer), **ids, **shape | OTHERS[name])
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "base")
    model = PromptEOL(tmp_path / "base", device="cpu")
    model.encode(["A man is playing a guitar.", "Why?"])
    save_in_silence(model, tmp_path / "saved")


@pytest.mark.filterwarnings(
    "ignore:.* cannot be run with a shared prefix", "ignore:`gradient_checkpointing_enable` is deprecated"
)
def test_what_files_hold_is_saved_in_silence(tiny, architecture, tmp_path):
    model = PromptEOL(tiny(architecture), device="cpu")
    backbone = model.transformers_model
    model.encode(["A man is playing a guitar.", "Why?"])
    with torch.no_grad():
        next(backbone.parameters()).mul_(2)
    # Training, caches and half precision leave what they leave.
    backbone.train()
    backbone.gradient_checkpointing_enable()
    backbone.enable_input_require_grads()
    for part in backbone.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.3
    model.to(torch.bfloat16).to(torch.float32)
    backbone.set_attn_implementation("eager")
    backbone.resize_token_embeddings(len(model.tokenizer) + 8)
    backbone.config.pad_token_id = 3
    backbone.config.use_cache = False
    save_in_silence(model, tmp_path)


@pytest.mark.parametrize("rope_type", ["dynamic", "llama3", "yarn"])
def test_rotary_frequencies_of_every_kind_are_saved_in_silence(tmp_path, rope_type):
    rope = {"rope_type": rope_type, "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16}
    if rope_type == "llama3":
        rope |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
    model = PromptEOL(tiny_model(tmp_path / "base", rope_parameters=rope, max_position_embeddings=64), device="cpu")
    model.encode(["a text past the limit " * 60, "Why?"], engine="stock")
    save_in_silence(model, tmp_path / "saved")
