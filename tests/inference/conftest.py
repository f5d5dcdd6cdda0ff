"""Tiny random backbones of many architectures, and rows of token ids that share a prefix."""

import random

import pytest
import torch
from transformers import AutoConfig, AutoModel

VOCABULARY = 200
PREFIX = [11, 23, 5, 42, 9, 120, 77, 3, 64]

_ROTARY = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
_OPT = {
    "hidden_size": 32,
    "word_embed_proj_dim": 32,
    "ffn_dim": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
    "init_std": 0.15,
}
_GPT = {"n_embd": 32, "n_layer": 4, "n_head": 4, "n_positions": 256}
_WIDE = {**_ROTARY, "head_dim": 8}
_EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}

# Sliding windows are shorter than prefix and text together, so that a mask that forgets them shows.
FAST = {
    "apertus": _ROTARY,
    "arcee": _ROTARY,
    "cohere": _ROTARY,
    "cohere2": {**_ROTARY, "sliding_window": 6},
    "deepseek_v3": {
        **_ROTARY,
        **_EXPERTS,
        "num_key_value_heads": 4,
        "n_routed_experts": 4,
        "n_group": 1,
        "topk_group": 1,
        "first_k_dense_replace": 1,
        "kv_lora_rank": 8,
        "q_lora_rank": 8,
        "qk_rope_head_dim": 4,
        "qk_nope_head_dim": 8,
        "v_head_dim": 8,
    },
    "ernie4_5": _ROTARY,
    "exaone4": {**_ROTARY, "sliding_window": 6, "sliding_window_pattern": 4},
    "gemma": _WIDE,
    "gemma2": {**_WIDE, "sliding_window": 6, "attn_logit_softcapping": 2.0, "query_pre_attn_scalar": 8},
    "gemma3_text": {**_WIDE, "sliding_window": 6, "query_pre_attn_scalar": 8},
    "glm4": _WIDE,
    "gpt2": _GPT,
    "gpt2 scaled by layer": {**_GPT, "scale_attn_by_inverse_layer_idx": True},
    "gpt_neox": {**_ROTARY, "rotary_pct": 0.5},
    "gpt_oss": {**_WIDE, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 6},
    "granite": {**_ROTARY, "attention_multiplier": 0.3, "residual_multiplier": 0.5},
    "llama": _ROTARY,
    "llama4_text": {
        **_WIDE,
        "num_local_experts": 4,
        "attention_chunk_size": 6,
        "intermediate_size_mlp": 48,
        "interleave_moe_layer_step": 1,
        "no_rope_layers": [1, 1, 1, 0],
    },
    "ministral": {**_WIDE, "sliding_window": 6},
    "mistral": {**_ROTARY, "sliding_window": 7},
    "mixtral": {**_ROTARY, "num_local_experts": 4},
    "olmo2": _ROTARY,
    "olmo3": {**_ROTARY, "sliding_window": 6},
    "opt": _OPT,
    "opt as 350m": {**_OPT, "word_embed_proj_dim": 16, "do_layer_norm_before": False},
    "phi": _ROTARY,
    "phi3": _ROTARY,
    "qwen2": _ROTARY,
    "qwen3": _WIDE,
    "qwen3_moe": {**_WIDE, **_EXPERTS, "num_experts": 4},
    "seed_oss": _WIDE,
    "smollm3": _ROTARY,
    "stablelm": _ROTARY,
    "starcoder2": {**_ROTARY, "sliding_window": 6},
}
# No attention interface, attention outside it, or no attention at all.
STOCK = {
    "bloom": {"hidden_size": 32, "n_layer": 4, "n_head": 4},
    "diffllama": _ROTARY,
    "falcon": {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4},
    "mamba": {"hidden_size": 32, "num_hidden_layers": 4, "state_size": 4},
}
# Through the interface since transformers 5.24.
EITHER = {"gptj": {**_GPT, "rotary_dim": 4}}


def build(name, *, dtype=torch.float32, seed=0, **overrides):
    """Build a backbone in evaluation mode; biases and norms are moved, so that no term vanishes."""
    config = AutoConfig.for_model(
        name.split()[0],
        vocab_size=VOCABULARY,
        initializer_range=0.15,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        **{**FAST, **STOCK, **EITHER}[name] | overrides,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = AutoModel.from_config(config, dtype=torch.float32)
        with torch.no_grad():
            for parameter in backbone.parameters():
                if parameter.ndim == 1:
                    parameter.add_(0.1 * torch.randn_like(parameter))
    return backbone.to(dtype).eval()


@pytest.fixture
def backbone():
    """The builder: ``backbone("llama")``."""
    return build


@pytest.fixture(params=sorted(FAST))
def fast_backbone(request):
    return build(request.param)


@pytest.fixture(params=sorted(STOCK))
def stock_only_backbone(request):
    return build(request.param)


@pytest.fixture
def prefix():
    return list(PREFIX)


@pytest.fixture
def rows():
    """Rows in no order, two of them equal, some of one length, one not starting with the prefix."""
    chance = random.Random(0)
    suffixes = [[chance.randrange(3, VOCABULARY) for _ in range(length)] for length in (5, 3, 11, 5, 20, 1, 3, 8)]
    return [*(PREFIX + rest for rest in suffixes), PREFIX + suffixes[2], [5, 6, 7]]


@pytest.fixture
def ordinary():
    """The reference forward, one row at a time, no padding, no cache."""

    def states(backbone, rows, layer=-1):
        with torch.inference_mode():
            outputs = [
                backbone(input_ids=torch.tensor([row]), output_hidden_states=True, use_cache=False) for row in rows
            ]
        return torch.stack([output.hidden_states[layer][0, -1] for output in outputs])

    return states


@pytest.fixture
def apart():
    """The largest difference, relative to the largest entry of the row it is in."""

    def difference(ours, reference):
        ours, reference = ours.double(), reference.double()
        return ((ours - reference).abs().amax(1) / reference.abs().amax(1)).max().item()

    return difference
