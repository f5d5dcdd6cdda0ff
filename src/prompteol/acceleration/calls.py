"""Hand calls of many texts to the packed forward in large batches; leave all others as they are."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from typing import Any

# Bounds the memory of token ids and logits, and how far a progress bar jumps.
_TEXTS_AT_ONCE = {"encode": 1024, "predict": 256}
_TEXTS_A_STEP = 256


class PackedCall:
    """Stand in for a model's ``encode`` or ``predict``: the same arguments, results and errors."""

    def __init__(self, model: Any, name: str) -> None:
        self.model = model
        self.name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the stock method, with what the packed forward needs to know where the texts go there."""
        stock = getattr(type(self.model), self.name)
        names = list(inspect.signature(stock).parameters)[1:]
        given = dict(zip(names, args, strict=False)) | kwargs
        if len(args) > len(names) or set(names[: len(args)]) & set(kwargs) or not self._packs(given):
            return stock(self.model, *args, **kwargs)
        size = given.get("batch_size", 32)
        most = _TEXTS_A_STEP if given.get("show_progress_bar") else _TEXTS_AT_ONCE[self.name]
        # A multiple, so that where rows run as before they do so in the batches that they had before.
        given |= {"batch_size": size * max(1, most // size), "packed": size}
        return stock(self.model, **given)

    def _packs(self, given: dict[str, Any]) -> bool:
        size = given.get("batch_size", 32)
        if not isinstance(size, int) or size < 1:
            return False
        if given.get("output_value", "sentence_embedding") != "sentence_embedding":
            return False
        # FlashAttention's own way without padding; rows do not lie beside each other then.
        if self.model[0].can_flatten_inputs:
            return False
        texts = given.get("inputs", given.get("sentences"))
        is_one = _is_text if self.name == "encode" else _is_pair
        return isinstance(texts, Collection) and not _is_text(texts) and len(texts) > 1 and all(map(is_one, texts))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_pair(value: Any) -> bool:
    return isinstance(value, Collection) and not isinstance(value, (str, dict)) and all(map(_is_text, value))
