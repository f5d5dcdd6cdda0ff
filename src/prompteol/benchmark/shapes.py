"""Build random models of the shape of real ones; speed does not depend on the weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from prompteol.benchmark.workload import sentences

__all__ = ["SHAPES", "build_shape"]

# The defaults of transformers' OPT configuration are those of facebook/opt-125m.
SHAPES: Mapping[str, dict[str, Any]] = MappingProxyType(
    {
        "opt-125m": {"model_type": "opt"},
        "qwen3-0.6b": {
            "model_type": "qwen3",
            "vocab_size": 151936,
            "hidden_size": 1024,
            "intermediate_size": 3072,
            "num_hidden_layers": 28,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "tie_word_embeddings": True,
        },
    }
)
_EOS, _PAD = "</s>", "<pad>"


def build_shape(name: str, folder: str | Path) -> str:
    """Write a random causal LM of a shape, with a tokenizer for which most words are one token, to a folder.

    Args:
        name: one of :data:`SHAPES`.
        folder: where to write; the weights take four bytes a parameter.

    Returns:
        The folder as a string, ready for ``PromptEOL(...)``.
    """
    tokenizer = _tokenizer()
    ids = {f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("bos", "eos", "pad")}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**SHAPES[name], **ids), dtype=torch.float32)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def _tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=8000,
        special_tokens=[_EOS, _PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    prompt = 'This sentence : "{}" means in one word:"'
    tokenizer.train_from_iterator([prompt.replace("{}", text) for text in sentences(2000, seed=1)], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{_EOS} $A", special_tokens=[(_EOS, tokenizer.token_to_id(_EOS))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=_EOS, eos_token=_EOS, pad_token=_PAD, model_max_length=2048
    )
