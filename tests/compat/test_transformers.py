"""Canaries: each says what transformers changed that its public interface does not promise."""

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AttentionInterface, AttentionMaskInterface, AutoModel

from prompteol.compat import (
    dequantizing,
    drop_final_norm,
    eager_attention,
    initialized_weights,
    language_model_types,
    renames_weights,
    visible_tokens,
)
from prompteol.testing import tiny_config

VERSION = f"transformers {transformers.__version__}"


@pytest.fixture
def backbone():
    return AutoModel.from_config(tiny_config("llama")).eval()


@pytest.mark.parametrize("verbosity", [transformers.logging.WARNING, transformers.logging.CRITICAL])
def test_weights_that_are_initialized_at_random_are_named(backbone, tmp_path, verbosity):
    backbone.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["layers.1.mlp.up_proj.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    before = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity(verbosity)
    try:
        with initialized_weights() as names:
            AutoModel.from_pretrained(tmp_path)
    finally:
        transformers.logging.set_verbosity(before)
    assert names == ["layers.1.mlp.up_proj.weight"], f"{VERSION} reports missing weights in another way"


def test_opt_can_say_that_it_has_no_final_norm():
    config = tiny_config("opt")
    assert drop_final_norm(config), f"{VERSION} has no setting by which OPT leaves its final norm out"
    assert AutoModel.from_config(config).decoder.final_layer_norm is None
    assert not drop_final_norm(tiny_config("llama"))


def test_gguf_files_can_be_unpacked_as_they_are_read():
    (config,) = dequantizing().values() or [None]
    assert config is None or config.dequantize, f"{VERSION} unpacks GGUF files by another setting"


def test_model_types_are_listed_by_what_they_predict():
    causal, masked = language_model_types()
    assert {"llama", "opt", "gpt2", "qwen3"} <= causal.keys(), f"{VERSION} lists causal language models elsewhere"
    assert "bert" in masked, f"{VERSION} lists masked language models elsewhere"
    assert "llama" not in masked


def test_modeling_files_have_eager_attention(backbone):
    assert callable(eager_attention(backbone.layers[0].self_attn)), f"{VERSION} has no eager_attention_forward"


def test_a_registered_mask_gets_the_rule_and_a_registered_attention_its_result(backbone):
    masks = []

    def mask(*, mask_function, dtype, **_):
        masks.append(visible_tokens(mask_function, torch.zeros(1, 1, 1, 1, dtype=torch.long), torch.arange(3)))
        return masks[-1]

    def attention(module, query, key, value, attention_mask, **_):
        assert attention_mask is masks[-1], f"{VERSION} hands another mask to a registered attention"
        return torch.zeros_like(query).transpose(1, 2), None

    AttentionInterface.register("prompteol_canary", attention)
    AttentionMaskInterface.register("prompteol_canary", mask)
    backbone.set_attn_implementation("prompteol_canary")
    with torch.inference_mode():
        backbone(input_ids=torch.tensor([[5, 6, 7]]))
    seen = torch.ones(3, 3, dtype=torch.bool).tril()
    assert masks, f"{VERSION} does not call a registered mask"
    assert torch.equal(masks[0].expand(1, 1, 3, 3)[0, 0], seen), f"{VERSION} has another mask function"


def test_a_layer_runs_the_forward_that_was_put_on_it(backbone):
    forward = backbone.layers[0].forward
    calls = []
    backbone.layers[0].forward = lambda *args, **kwargs: calls.append(args or kwargs) or forward(*args, **kwargs)
    with torch.inference_mode():
        backbone(input_ids=torch.tensor([[5]]))
    assert calls, f"{VERSION} does not run a forward that was put on a decoder layer"


def test_transformers_says_which_weights_it_renames():
    found = f"transformers {transformers.__version__}"
    assert not renames_weights("llama"), f"{found} renames the weights of llama, or says so in another way"
    assert renames_weights("mixtral"), f"{found} no longer renames the weights of mixtral, or says so in another way"
