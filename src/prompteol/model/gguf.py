"""Read the header of a GGUF file: the kind of its weights, their base model and the license."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from prompteol.errors import ModelError

_STRING, _ARRAY = 8, 9
_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
# Only a chat template is longer than this. A damaged length could ask for all memory.
_LONGEST = 1 << 24


@dataclass(frozen=True)
class GGUFHeader:
    """Hold the metadata of a GGUF file, without its vocabulary."""

    file: str
    metadata: Mapping[str, Any]

    @classmethod
    def read(cls, path: str | Path) -> GGUFHeader:
        """Read the metadata; raise ModelError if the file is no GGUF, is damaged, or is one of several parts."""
        path = Path(path)
        try:
            header = cls(path.name, _cached_metadata(path, path.stat().st_mtime_ns))
        except (OSError, ValueError, struct.error) as error:
            raise ModelError(f"{str(path)!r} cannot be read as a GGUF file: {error}; fetch it anew") from error
        parts = header.metadata.get("split.count", 1)
        if parts > 1:
            raise ModelError(
                f"{str(path)!r} is one of {parts} parts of a model: join them with llama-gguf-split --merge, then give "
                "the whole file"
            )
        return header

    @property
    def license(self) -> str | None:
        """The license that the file states, in the form of a model card."""
        return self.metadata.get("general.license")

    @property
    def base_model(self) -> str | None:
        """The Hub name of the model that the weights come from, if the file states it."""
        keys = ("general.base_model.0.repo_url", "general.source.repo_url", "general.repo_url", "general.source.url")
        for url in filter(None, (self.metadata.get(key) for key in keys)):
            _, found, name = str(url).partition("huggingface.co/")
            if found and name.strip("/").count("/") == 1:
                return name.strip("/")
        return None

    def describe(self) -> str:
        """Describe what the weights are dequantized from, for provenance and model card."""
        made_by = self.metadata.get("general.organization")
        base = self.base_model or self.metadata.get("general.name")
        facts = [
            f"of {base}" if base else "",
            f"by {made_by}" if made_by and base != self.base_model else "",
            f"license {self.license or 'not stated'}",
        ]
        return f"dequantized from {self.file}, {', '.join(filter(None, facts))}"


@lru_cache(maxsize=8)
def _cached_metadata(path: Path, _changed: int) -> dict[str, Any]:
    with path.open("rb") as file:
        return _metadata(file)


def _metadata(file: BinaryIO) -> dict[str, Any]:
    magic, version, _, count = struct.unpack("<4sIQQ", _bytes(file, 24))
    if magic != b"GGUF":
        raise ValueError(f"it begins with {magic!r}, not with b'GGUF'")
    if version not in (2, 3):
        raise ValueError(f"its version is {version}, not 2 or 3")
    found: dict[str, Any] = {}
    for _ in range(count):
        key = _string(file)
        value = _value(file, _number(file, "I"))
        # The vocabulary may have more than a hundred thousand entries; tokenizers read it themselves.
        if not key.startswith("tokenizer."):
            found[key] = value
    return found


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _string(file)
    if kind == _ARRAY:
        of, length = struct.unpack("<IQ", _bytes(file, 12))
        if length > _LONGEST:
            raise ValueError(f"a list of {length} entries is damaged")
        if of in _FORMATS:
            return struct.unpack(form := f"<{length}{_FORMATS[of]}", _bytes(file, struct.calcsize(form)))
        return [_value(file, of) for _ in range(length)]
    if kind not in _FORMATS:
        raise ValueError(f"a value has the unknown type {kind}")
    return _number(file, _FORMATS[kind])


def _number(file: BinaryIO, form: str) -> Any:
    (number,) = struct.unpack(f"<{form}", _bytes(file, struct.calcsize(f"<{form}")))
    return number


def _string(file: BinaryIO) -> str:
    return _bytes(file, _number(file, "Q")).decode("utf-8", errors="replace")


def _bytes(file: BinaryIO, count: int) -> bytes:
    found = file.read(count) if count <= _LONGEST else b""
    if len(found) < count:
        raise ValueError("it ends, or is damaged, in its header")
    return found
