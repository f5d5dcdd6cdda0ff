"""Build tiny random causal language models for tests that must not use the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedTokenizerFast

Architecture = Literal["llama", "opt", "gpt2", "qwen2"]

# What the tokenizer's merges are learned from: the template, so that `."` and `:"` fuse as they do in the
# vocabularies of real models, and enough ordinary English for whole words.
_CORPUS = (
    'This sentence : "A man is playing a guitar." means in one word:"Music".',
    'This sentence : "The woman is riding a horse." means in one word:"Equestrian".',
    'After thinking step by step , this sentence : "Two dogs run in the snow." means in one word:"',
    'The essence of a sentence is often captured by its main subjects and actions."',
    'Passage: "The cat sat on the mat." Use one word to represent the passage in a retrieval task.',
    'Query: "Who is the president?" Make sure your word is in lowercase. The word is: "',
)

_SPECIAL: dict[Architecture, dict[str, str]] = {
    "llama": {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
    "opt": {"bos_token": "</s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "</s>"},
    "gpt2": {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"},
    "qwen2": {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
}
# GPT-2's and Qwen's put none in front; Qwen's has none at all.
_ADDS_BOS: frozenset[Architecture] = frozenset({"llama", "opt"})


def tiny_tokenizer(architecture: Architecture = "llama", *, vocab_size: int = 640) -> PreTrainedTokenizerFast:
    """Build a byte-level BPE tokenizer with the special tokens and the BOS habit of an architecture."""
    special = _SPECIAL[architecture]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(dict.fromkeys(special.values())),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    if architecture in _ADDS_BOS:
        bos = special["bos_token"]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, tokenizer.token_to_id(bos))]
        )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=512, **special)


def tiny_config(
    architecture: Architecture = "llama",
    *,
    vocab_size: int = 640,
    hidden_size: int = 32,
    layers: int = 4,
    heads: int = 4,
    tied: bool = True,
    **overrides: Any,
) -> PretrainedConfig:
    """Describe a causal language model of a few thousand parameters; ``overrides`` win over the rest."""
    shared = {"vocab_size": vocab_size, "tie_word_embeddings": tied, "initializer_range": 0.15}
    common = {
        "hidden_size": hidden_size,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "max_position_embeddings": 512,
    }
    rotary = {**common, "intermediate_size": 2 * hidden_size, "num_key_value_heads": max(1, heads // 2)}
    opt = {"init_std": 0.15, "word_embed_proj_dim": hidden_size, "ffn_dim": 2 * hidden_size, "dropout": 0.1}
    shape: dict[Architecture, dict[str, Any]] = {
        "llama": rotary,
        "qwen2": rotary,
        "opt": {**common, **opt},
        "gpt2": {"n_embd": hidden_size, "n_layer": layers, "n_head": heads, "n_positions": 512},
    }
    if architecture not in shape:
        raise ValueError(f"architecture={architecture!r} is none of {sorted(shape)}")
    return AutoConfig.for_model(architecture, **{**shared, **shape[architecture], **overrides})


def tiny_model(
    folder: str | Path, architecture: Architecture = "llama", *, seed: int = 0, vocab_size: int = 640, **config: Any
) -> str:
    """Write a small random causal LM with its tokenizer to a folder, as ``save_pretrained`` would.

    ``config`` goes to :func:`tiny_config`. The caller's random state is left as it was. The folder is returned, ready
    for ``PromptEOL(...)``.
    """
    tokenizer = tiny_tokenizer(architecture, vocab_size=vocab_size)
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(
            tiny_config(architecture, vocab_size=len(tokenizer), **ids, **config), dtype=torch.float32
        )
        # Biases and norms start at 0 and 1; moved, so that no test passes because a term vanishes.
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim == 1:
                    parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
