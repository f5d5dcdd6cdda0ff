"""Guard a search index against any embedder but the one that built it.

Vectors of two embedders rank against each other without an error, and mean nothing. So the fingerprint of an embedder
is stored with the index: :func:`guard_index` does it on a disk, in a Chroma collection and in a Qdrant one;
:func:`index_metadata` and :func:`check_index` serve any other store that holds metadata.
"""

from __future__ import annotations

import json
import os
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from prompteol.errors import IndexMismatchError, SettingError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

METADATA_KEY = "prompteol_fingerprint"
"""Under this key a fingerprint travels in an index's metadata."""

# The file that holds fingerprints, in an index's folder; for an index of one file, beside it. The stem is also that of
# what a killed process leaves of it.
_STAMP_STEM = "prompteol-index."
_STAMP_FILE = _STAMP_STEM + "json"
_BY_HAND = "store index_metadata(embedder) in it yourself, and call check_index(stored, embedder) when you open it"


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
        name: a name that tells indexes in one folder apart, such as a collection, table or index id; for Qdrant, the
            collection's name.
        dimension: the dimension of the vectors that the index was made for, such as ``faiss_index.d``.

    Raises:
        IndexMismatchError: another embedder built it, nothing says which did, or it is made for another dimension.
        SettingError: nothing can be stored there.
    """
    if dimension is not None:
        _check_dimension(dimension, embedder)
    stamp, current = _stamp_of(index, name), _fingerprint(embedder)
    stored = stamp.read()
    if stored is not None:
        _check_equal(stored, current, str(stamp))
    elif stamp.is_new():
        stamp.write(current)
    else:
        raise IndexMismatchError(
            f"{stamp} is not empty, and nothing says which model built it; this one is {current}. Call this before a "
            "store first opens the folder; or, if you know that this model built it, say so once: from "
            "prompteol.embedder import stamp_index; stamp_index(index, embedder)"
        )


class IndexGuard:
    """Guard one index, as :func:`guard_index` does, for an embedder whose model may be changed in place."""

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

    The arguments are those of :func:`guard_index`; a :class:`SettingError` says that nothing can be stored there.
    """
    _stamp_of(index, name).write(_fingerprint(embedder))


def index_metadata(embedder: Fingerprinted | SentenceTransformer) -> dict[str, str]:
    """Return what to store beside an index of this embedder, ready for a collection's or a table's metadata."""
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
    metadata: Mapping[Any, Any] = stored if isinstance(stored, Mapping) else {METADATA_KEY: stored}
    built_by = metadata.get(METADATA_KEY, metadata.get(METADATA_KEY.encode()))
    current = _fingerprint(embedder)
    if built_by is None:
        raise IndexMismatchError(
            f"the index holds no {METADATA_KEY!r}, so nothing says which model built it; this one is {current}. "
            "Build the index again and store index_metadata(embedder) with it"
        )
    _check_equal(built_by.decode() if isinstance(built_by, bytes) else built_by, current, "the index")


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


def _stamp_of(index: str | os.PathLike[str] | Any, name: str) -> _FileStamp | _ChromaStamp | _QdrantStamp:
    if isinstance(index, (str, os.PathLike)):
        return _FileStamp(index, name)
    if hasattr(index, "update_collection"):
        return _QdrantStamp(index, name)
    if hasattr(index, "modify") and hasattr(index, "metadata"):
        return _ChromaStamp(index)
    raise SettingError(
        f"index is {type(index).__name__}, not a folder, a file, a Chroma collection or a Qdrant client: {_BY_HAND}"
    )


class _FileStamp:
    """Keep fingerprints by name in a JSON file; the empty name means all that lies in the folder."""

    def __init__(self, index: str | os.PathLike[str], name: str) -> None:
        if "://" in str(index) or str(index) == ":memory:":
            raise SettingError(f"index={str(index)!r} is no folder or file: {_BY_HAND}")
        self.index, self.name = Path(index), name
        self.inside = self.index / _STAMP_FILE
        self.beside = self.index.parent / f"{self.index.name}.{_STAMP_FILE}"

    def __str__(self) -> str:
        return f"{str(self.index)!r}" + (f" ({self.name!r})" if self.name else "")

    def read(self) -> str | None:
        if not self._holds_data():
            return None
        record = self._record()
        if self.name:
            return record.get(self.name, record.get(""))
        if len(found := set(record.values())) > 1:
            raise IndexMismatchError(f"{self} holds indexes of several models: give the name= of one of {[*record]}")
        return found.pop() if found else None

    def is_new(self) -> bool:
        # A name that a stamped folder does not know yet will be built.
        return not self._holds_data() or bool(self._record())

    def write(self, fingerprint: str) -> None:
        record = {**self._record(), self.name: fingerprint} if self.name else {"": fingerprint}
        try:
            # A path with a suffix that is not there yet will be a file, such as notes.json.
            a_file = self.index.is_file() or (self.index.suffix and not self.index.is_dir())
            path = self.beside if a_file else self.inside
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_suffix(f".{os.getpid()}.partial")
            draft.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
            os.replace(draft, path)
        except OSError as error:
            raise SettingError(f"no fingerprint can be stored for {self}: {error}") from error

    def _holds_data(self) -> bool:
        if self.index.is_dir():
            return any(not path.name.startswith(_STAMP_STEM) for path in self.index.iterdir())
        return self.index.exists()

    def _record(self) -> dict[str, str]:
        path = self.inside if self.inside.is_file() else self.beside
        if not path.is_file():
            return {}
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            return {str(key): str(value) for key, value in record.items()}
        except (OSError, ValueError, AttributeError) as error:
            raise IndexMismatchError(
                f"{str(path)!r} is damaged or cannot be read ({error}), so nothing says which model built "
                "the index: build it again"
            ) from error


class _ChromaStamp:
    """Keep a fingerprint in the metadata of a Chroma collection."""

    def __init__(self, collection: Any) -> None:
        self.collection = collection

    def __str__(self) -> str:
        return f"the collection {self.collection.name!r}"

    def read(self) -> str | None:
        return (self.collection.metadata or {}).get(METADATA_KEY)

    def is_new(self) -> bool:
        return bool(self.collection.count() == 0)

    def write(self, fingerprint: str) -> None:
        # Chroma replaces all metadata, and refuses the keys that describe its graph although they do not change.
        kept = {key: value for key, value in (self.collection.metadata or {}).items() if not key.startswith("hnsw:")}
        self.collection.modify(metadata={**kept, METADATA_KEY: fingerprint})


class _QdrantStamp:
    """Keep a fingerprint in the metadata of a Qdrant collection, which Qdrant holds from version 1.16 on."""

    def __init__(self, client: Any, name: str) -> None:
        if not name or not client.collection_exists(name):
            raise SettingError(
                f"name={name!r} is no collection of this Qdrant client: create it first, and give its name"
            )
        self.client, self.name = client, name

    def __str__(self) -> str:
        return f"the collection {self.name!r}"

    def read(self) -> str | None:
        return (self.client.get_collection(self.name).config.metadata or {}).get(METADATA_KEY)

    def is_new(self) -> bool:
        return not self.client.count(self.name).count

    def write(self, fingerprint: str) -> None:
        self.client.update_collection(self.name, metadata={METADATA_KEY: fingerprint})
        if self.read() != fingerprint:
            raise SettingError(f"{self} keeps no metadata: Qdrant does so from version 1.16 on; upgrade it")
