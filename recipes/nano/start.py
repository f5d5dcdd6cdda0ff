"""A Llama that computes the distilled bag of tokens at its first step, so that training goes on from there."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

# The last layer's attention over a sentence is softmax(_SHARPNESS * t); t in (-1, 1) stands in every token's vector.
_SHARPNESS = 8.0
_TABLE_NORM, _FINAL_NORM, _OUTPUT = 4.0, 0.25, 4.0


def model_from_bag(
    bag: Tensor, tokenizer: PreTrainedTokenizerBase, prompt: list[int], seed: int = 0
) -> LlamaForCausalLM:
    """Return a model whose last hidden state after a prompt is, up to its length, the bag's sum of the sentence.

    A piece's direction lies in the token table as it is. How much it counts lies there too, along one further
    direction, which the last layer's keys read; values leave that direction out. All other blocks start at zero.

    Args:
        bag: one vector per piece, (pieces, dimension).
        tokenizer: the tokenizer; the model gets its special tokens.
        prompt: ids of the prompt's own pieces, the last one last; they count for next to nothing.
        seed: the seed of the random weights.
    """
    torch.manual_seed(seed)
    pieces, width = bag.shape
    config = LlamaConfig(
        vocab_size=pieces, hidden_size=width, intermediate_size=704, num_hidden_layers=4, num_attention_heads=4,
        max_position_embeddings=512, tie_word_embeddings=True, rms_norm_eps=1e-5, initializer_range=0.02,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    reader = functional.normalize(torch.randn(width), dim=0)
    plain = bag - (bag @ reader)[:, None] * reader
    importance = plain.norm(dim=1).clamp_min(1e-4).log()
    importance -= importance.mean()
    importance[prompt] = importance.min().clamp_max(-4.0)
    table = _TABLE_NORM * _with_importance(functional.normalize(plain, dim=1), importance, reader)
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(table)
        for layer in model.model.layers:
            layer.mlp.down_proj.weight.zero_()
            layer.self_attn.o_proj.weight.zero_()
        model.model.norm.weight.fill_(_FINAL_NORM)
        _attend_by_importance(model.model.layers[-1].self_attn, functional.normalize(table[prompt[-1]], dim=0), reader)
    return model


def _with_importance(directions: Tensor, importance: Tensor, reader: Tensor) -> Tensor:
    """Add to each direction what makes attention give it ``exp(importance)``.

    After the layer's norm a piece is ``sqrt(1 - t*t)`` of its direction and ``t`` of the reader, so attention gives it
    ``exp(sharpness * t) * sqrt(1 - t*t)``. That is solved for ``t`` by bisection.
    """
    low, high = torch.full_like(importance, -0.95), torch.full_like(importance, 0.95)
    for _ in range(40):
        t = (low + high) / 2
        short = _SHARPNESS * t + 0.5 * torch.log1p(-t * t) < importance
        low, high = torch.where(short, t, low), torch.where(short, high, t)
    return directions + (t / (1 - t * t).sqrt())[:, None] * reader


def _attend_by_importance(attention: torch.nn.Module, last: Tensor, reader: Tensor) -> None:
    width, heads = len(reader), attention.config.num_attention_heads
    size = width // heads
    # Rotary embeddings turn this entry of a head the least: by less than 0.01 within 60 tokens.
    slowest = torch.arange(heads) * size + size // 2 - 1
    norm = math.sqrt(width)
    for projection in (attention.q_proj, attention.k_proj):
        projection.weight[slowest] = 0
        projection.weight[slowest + size // 2] = 0
    others = torch.ones(width, dtype=torch.bool)
    others[slowest] = False
    attention.q_proj.weight[others] = 0
    attention.q_proj.weight[slowest] = last / norm * _SHARPNESS * math.sqrt(size)
    attention.k_proj.weight[slowest] = reader / norm
    attention.v_proj.weight.copy_(torch.eye(width) - torch.outer(reader, reader))
    attention.o_proj.weight.copy_(_OUTPUT * torch.eye(width))
