"""Store a fingerprint with an index: as a file in its folder, or in a collection's metadata."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Protocol

from prompteol.errors import IndexMismatchError, SettingError

__all__ = ["METADATA_KEY", "STAMP_FILE", "Stamp", "stamp_of"]

METADATA_KEY = "prompteol_fingerprint"
"""Under this key a fingerprint travels in an index's metadata."""

STAMP_FILE = "prompteol-index.json"
"""The file that holds fingerprints, in an index's folder; for an index of one file, beside it."""

# Also of what a killed process leaves of it.
_STAMP_STEM = "prompteol-index."


class Stamp(Protocol):
    """The place of a fingerprint with an index; ``str`` of it names the index in messages."""

    def read(self) -> str | None:
        """Return the fingerprint stored there."""

    def is_new(self) -> bool:
        """Tell whether the index holds nothing yet."""

    def write(self, fingerprint: str) -> None:
        """Store a fingerprint in place of any other."""


def stamp_of(index: str | os.PathLike[str] | Any, name: str = "") -> Stamp:
    """Return where the fingerprint of an index is kept.

    Raises:
        SettingError: it is neither a path, a Chroma collection nor a Qdrant client with the name of a collection.
    """
    if isinstance(index, (str, os.PathLike)):
        return _FileStamp(index, name)
    if hasattr(index, "update_collection"):
        return _QdrantStamp(index, name)
    if hasattr(index, "modify") and hasattr(index, "metadata"):
        return _ChromaStamp(index)
    raise SettingError(
        f"index is {type(index).__name__}, not a folder, a file, a Chroma collection or a Qdrant client: store "
        "index_metadata(embedder) in it yourself, and call check_index(stored, embedder) when you open it"
    )


class _FileStamp:
    """Keep fingerprints by name in a JSON file; the empty name stands for all that lies in the folder."""

    def __init__(self, index: str | os.PathLike[str], name: str) -> None:
        if "://" in str(index) or str(index) == ":memory:":
            raise SettingError(
                f"index={str(index)!r} is no folder or file: store index_metadata(embedder) in the index's own "
                "metadata, and call check_index(stored, embedder) when you open it"
            )
        self.index, self.name = Path(index), name
        self.inside = self.index / STAMP_FILE
        self.beside = self.index.parent / f"{self.index.name}.{STAMP_FILE}"

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
