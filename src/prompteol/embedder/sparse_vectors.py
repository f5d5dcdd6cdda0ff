"""Embed texts to sparse vectors as plain lists, from any thread, as vector stores with hybrid search take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from prompteol.embedder.text_embedder import lock_for
from prompteol.errors import InputError, SettingError
from prompteol.prompts import PROMPT_TASKS, PromptTask

if TYPE_CHECKING:
    from prompteol.sentence_transformers import PromptEOL


class SparseVectors(NamedTuple):
    """Hold a list of token ids and a list of weights for each text."""

    indices: list[list[int]]
    values: list[list[float]]


def embed_sparse(
    model: PromptEOL, texts: Sequence[str], task: PromptTask, *, max_active_dims: int = 128, expand: bool = False
) -> SparseVectors:
    """Weight the words of texts by the LM head, see ``PromptEOL.encode_sparse``; one thread at a time.

    Raises:
        InputError: a bare string where a list belongs, or an item that is no string.
        ModelError: the model has no LM head.
        SettingError: an unknown task, ``max_active_dims`` below 1, or the model embeds by a forward technique.
    """
    if isinstance(texts, str):
        raise InputError(f"texts is the string {texts[:40]!r}, not a list of strings: write [text]")
    if task not in PROMPT_TASKS:
        raise SettingError(f"task={task!r} is none of {', '.join(map(repr, PROMPT_TASKS))}")
    with lock_for(model):
        found = model.encode_sparse(list(texts), task, max_active_dims=max_active_dims, expand=expand)
    bounds = list(zip(found.indptr, found.indptr[1:], strict=False))
    return SparseVectors(
        [found.indices[start:stop].tolist() for start, stop in bounds],
        [found.data[start:stop].tolist() for start, stop in bounds],
    )
