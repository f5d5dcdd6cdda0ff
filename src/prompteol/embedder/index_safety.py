"""Guard a search index against any embedder but the one that built it.

Vectors of two embedders rank against each other without an error, and mean nothing. So the fingerprint of an embedder
is stored with the index: :func:`guard_index` does it on a disk, in a Chroma collection and in a Qdrant one;
:func:`index_metadata` and :func:`check_index` serve any other store that holds metadata.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from prompteol.embedder.index_stamps import METADATA_KEY, stamp_of
from prompteol.errors import IndexMismatchError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = [
    "METADATA_KEY",
    "Fingerprinted",
    "IndexGuard",
    "check_index",
    "guard_index",
    "index_metadata",
    "stamp_index",
]


class Fingerprinted(Protocol):
    """An embedder that knows its fingerprint: ``TextEmbedder`` and both frameworks' adapters do."""

    @property
    def fingerprint(self) -> str:
        """Hex digits that change with the model and with what the embedder adds to it."""


def guard_index(
    index: str | os.PathLike[str] | Any,
    embedder: Fingerprinted | SentenceTransformer,
    *,
    name: str = "",
    dimension: int | None = None,
) -> None:
    """Stamp a new index with the embedder's fingerprint, and refuse one that another embedder built.

    Call it before the index is filled and each time that it is opened.

    Args:
        index: the folder or file where the index lies or will lie, a Chroma collection, or a Qdrant client.
        embedder: an adapter, a :class:`prompteol.TextEmbedder`, or a model.
        name: tells apart what lies in one folder, such as collections, tables or index ids; for Qdrant, the
            collection's name.
        dimension: of the vectors that the index was made for, such as ``faiss_index.d``.

    Raises:
        IndexMismatchError: another embedder built it, nothing says which did, or it is made for another dimension.
        SettingError: nothing can be stored there.
    """
    if dimension is not None:
        _check_dimension(dimension, embedder)
    stamp = stamp_of(index, name)
    current = _fingerprint(embedder)
    if (stored := stamp.read()) is None and stamp.is_new():
        stamp.write(current)
        return
    if stored is None:
        raise IndexMismatchError(
            f"{stamp} is not empty, and nothing says which model built it; this one is {current}. Call this before a "
            "store first opens the folder; or, if you know that this model built it, say so once: from "
            "prompteol.embedder.index_safety import stamp_index; stamp_index(index, embedder)"
        )
    _check_equal(stored, current, str(stamp))


class IndexGuard:
    """Guard one index for an embedder that stays in memory, where its model may be changed in place.

    Args:
        index, name, dimension: as for :func:`guard_index`.
    """

    def __init__(self, index: str | os.PathLike[str] | Any, name: str = "", dimension: int | None = None) -> None:
        self.index, self.name, self.dimension = index, name, dimension
        self._state: Hashable = None

    def check(self, embedder: Fingerprinted, state: Hashable) -> None:
        """Call :func:`guard_index` the first time, and whenever ``state`` is another than at the last call."""
        if state != self._state:
            guard_index(self.index, embedder, name=self.name, dimension=self.dimension)
            self._state = state


def stamp_index(
    index: str | os.PathLike[str] | Any, embedder: Fingerprinted | SentenceTransformer, *, name: str = ""
) -> None:
    """Store that an index was built by this embedder, whatever was stored with it before.

    Args:
        index: as for :func:`guard_index`.
        embedder: an adapter, a :class:`prompteol.TextEmbedder`, or a model.
        name: as for :func:`guard_index`.

    Raises:
        SettingError: nothing can be stored there.
    """
    stamp_of(index, name).write(_fingerprint(embedder))


def index_metadata(embedder: Fingerprinted | SentenceTransformer) -> dict[str, str]:
    """Return what to store beside an index, ready for a collection's or a table's metadata.

    Args:
        embedder: an adapter, a :class:`prompteol.TextEmbedder`, or a model.
    """
    return {METADATA_KEY: _fingerprint(embedder)}


def check_index(stored: str | Mapping[str, Any] | None, embedder: Fingerprinted | SentenceTransformer) -> None:
    """Raise unless an index was built by the embedder that is about to query it.

    Args:
        stored: the fingerprint kept with the index, or the metadata that :func:`index_metadata` went into; bytes for
            keys and values, as Arrow schemas hold them, will do.
        embedder: an adapter, a :class:`prompteol.TextEmbedder`, or a model.

    Raises:
        IndexMismatchError: the fingerprints differ, with both in the message; or none is stored.
    """
    built_by = _stored_fingerprint(stored)
    current = _fingerprint(embedder)
    if built_by is None:
        raise IndexMismatchError(
            f"the index holds no {METADATA_KEY!r}, so nothing says which model built it; this one is {current}. "
            "Build the index again and store index_metadata(embedder) with it"
        )
    _check_equal(built_by, current, "the index")


def _check_equal(built_by: str, current: str, index: str) -> None:
    if built_by != current:
        raise IndexMismatchError(
            f"{index} was built by the model {built_by}, and the one about to query it is {current}: other weights, "
            "template, demonstrations, layer, pooling, number format, prompts, normalization, length or cut "
            "(truncate_dim). Load the model that built it with the settings of that time, or build the index again"
        )


def _check_dimension(dimension: int, embedder: Fingerprinted | SentenceTransformer) -> None:
    own = getattr(embedder, "dimension", None) or embedder.get_embedding_dimension()  # type: ignore[union-attr]
    if own != dimension:
        raise IndexMismatchError(
            f"the index is made for vectors of {dimension} dimensions, and this embedder returns {own}: make it for "
            f"{own}, load the model that built it, or set truncate_dim"
        )


def _fingerprint(embedder: Fingerprinted | SentenceTransformer) -> str:
    from sentence_transformers import SentenceTransformer

    from prompteol.saving import fingerprint

    return fingerprint(embedder) if isinstance(embedder, SentenceTransformer) else embedder.fingerprint


def _stored_fingerprint(stored: str | Mapping[Any, Any] | None) -> str | None:
    # Arrow keeps metadata as bytes.
    value: Any = stored.get(METADATA_KEY, stored.get(METADATA_KEY.encode())) if isinstance(stored, Mapping) else stored
    return value.decode() if isinstance(value, bytes) else value
