"""Embedding every sentence once per model, however many tasks ask for it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from prompteol.errors import NonFiniteError
from prompteol.files import chunks
from prompteol.progress import batches

__all__ = ["EmbeddingStore", "Encoder"]

_CHUNK = 1024


class Encoder(Protocol):
    """Anything that turns sentences into an array of shape (sentences, dimensions), one row each."""

    def encode(self, sentences: list[str], /) -> Any:
        """Embed the sentences. One that takes ``batch_size`` and ``show_progress_bar`` is given them."""
        ...


class EmbeddingStore:
    """Keep one float32 embedding for each distinct sentence.

    Raises:
        NonFiniteError: from :meth:`add`, when the model gives NaN or infinity; the sentence is named.
    """

    def __init__(self, model: Encoder, *, batch_size: int | None = None) -> None:
        self._model = model
        given = {"show_progress_bar": False} | ({"batch_size": batch_size} if batch_size else {})
        self._options = {name: value for name, value in given.items() if _takes(model.encode, name)}
        self._row: dict[str, int] = {}
        self._chunks: list[NDArray[np.float32]] = []

    def add(self, sentences: Iterable[str], *, advance: Callable[[int], object] | None = None) -> None:
        """Embed those sentences that are new, long ones first; ``advance`` hears of every batch's size."""
        new = sorted({s for s in sentences if s not in self._row}, key=lambda s: (-len(s), s))
        with batches(self._model, advance or (lambda _count: None)) as done:
            for chunk in chunks(new, _CHUNK):
                self._chunks.append(self._encode(chunk))
                for sentence in chunk:
                    self._row[sentence] = len(self._row)
                done(len(chunk))

    def embed(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """Return the embeddings of the sentences, shape (sentences, dimensions), embedding what is new."""
        self.add(sentences)
        if len(self._chunks) > 1:
            self._chunks = [np.concatenate(self._chunks)]
        return np.asarray(self._chunks[0][[self._row[sentence] for sentence in sentences]])

    def _encode(self, sentences: list[str]) -> NDArray[np.float32]:
        embeddings = np.asarray(self._model.encode(sentences, **self._options), dtype=np.float32)
        finite = np.isfinite(embeddings).all(axis=1)
        if not finite.all():
            sentence = sentences[int(np.argmin(finite))]
            raise NonFiniteError(f"the embedding of {sentence[:80]!r} holds NaN or infinity; try dtype float32")
        return embeddings


def _takes(function: Callable[..., Any], name: str) -> bool:
    parameters = inspect.signature(function).parameters.values()
    return any(p.name == name or p.kind is p.VAR_KEYWORD for p in parameters)
