"""Texts cut to so many tokens before they are put into a template, as the paper does in training."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from prompteol.files import chunks

__all__ = ["truncate_texts"]

_BATCH = 4096


def truncate_texts(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, tokens: int) -> list[str]:
    """Return each text up to the end of its ``tokens``-th token.

    The text alone is cut, so the template and its demonstrations stay whole. A fast tokenizer tells where a token
    ends, so that what is left is letter for letter the beginning of the text; a slow one decodes, as the authors do.
    """
    short: list[str] = []
    for batch in chunks(texts, _BATCH):
        encoded = tokenizer(
            batch,
            add_special_tokens=False,
            truncation=False,
            padding=False,
            verbose=False,
            return_attention_mask=False,
            return_offsets_mapping=tokenizer.is_fast,
        )
        for row, (text, ids) in enumerate(zip(batch, encoded["input_ids"], strict=True)):
            if len(ids) <= tokens:
                short.append(text)
            elif tokenizer.is_fast:
                short.append(text[: _end(encoded["offset_mapping"][row], tokens)])
            else:
                short.append(str(tokenizer.decode(ids[:tokens])))
    return short


def _end(offsets: Sequence[tuple[int, int]], tokens: int) -> int:
    """Return where the text ends that has so many tokens: never within a character that is several of them."""
    start, end = offsets[tokens - 1]
    return start if start > 0 and offsets[tokens][0] < end else end
