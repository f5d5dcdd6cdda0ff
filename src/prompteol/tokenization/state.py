"""Describe a tokenizer's current state: all that decides its ids, or the part that is quick to read."""

from __future__ import annotations

import json
from collections.abc import Hashable
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

# Parts of a backend that decide no ids: what each call sets anew, and what turns ids into text.
_OF_A_CALL = frozenset({"version", "truncation", "padding", "decoder"})


def tokenizer_state(tokenizer: PreTrainedTokenizerBase | Tokenizer) -> Any:
    """Return what decides a tokenizer's ids, ready for JSON: vocabulary, merges, normalizer, added tokens, ..."""
    if isinstance(tokenizer, Tokenizer):
        return {name: part for name, part in json.loads(tokenizer.to_str()).items() if name not in _OF_A_CALL}
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if isinstance(backend, Tokenizer):
        return [tokenizer.chat_template, tokenizer_state(backend)]
    added = {str(number): repr(token) for number, token in tokenizer.added_tokens_decoder.items()}
    return [tokenizer.chat_template, sorted(tokenizer.get_vocab().items()), added]


def tokenizer_sample(tokenizer: Any) -> Hashable:
    """Return a quick sample that changes with every edit in place, except one that keeps the vocabulary's size."""
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        return None
    backend = getattr(tokenizer, "backend_tokenizer", None)
    parts = [getattr(backend, name, None) for name in ("normalizer", "pre_tokenizer", "post_processor")]
    return repr([tokenizer.chat_template, len(tokenizer), tokenizer.added_tokens_decoder, *parts])
