"""Decompress files by the end of their names: ``.gz``, ``.xz`` and ``.zst``."""

from __future__ import annotations

import gzip
import io
import lzma
import zlib
from pathlib import PurePosixPath
from typing import BinaryIO

__all__ = ["DAMAGE", "decompressed", "suffix_of"]

DAMAGE = (EOFError, OSError, zlib.error, lzma.LZMAError)
"""What reading a damaged archive raises."""

_COMPRESSED = (".gz", ".zst", ".xz")
_BLOCK = 1 << 20


def suffix_of(name: str) -> tuple[str, str]:
    """Split off what says the format and the compression: ``"a.jsonl.gz"`` gives ``("jsonl", ".gz")``."""
    path = PurePosixPath(name.replace("\\", "/"))
    compression = path.suffix.lower() if path.suffix.lower() in _COMPRESSED else ""
    return (PurePosixPath(path.stem) if compression else path).suffix.lstrip(".").lower(), compression


def decompressed(raw: BinaryIO, compression: str) -> BinaryIO:
    """Read an open file through what its compression asks for; ``""`` is none. Closing it leaves ``raw`` open."""
    if compression == ".gz":
        return gzip.GzipFile(fileobj=raw, mode="rb")  # type: ignore[return-value]
    if compression == ".xz":
        return lzma.LZMAFile(raw)  # type: ignore[return-value]
    if compression == ".zst":
        # Not the zstandard package, whose reader ends a stream that was cut off as if it were whole.
        import pyarrow as pa

        return io.BufferedReader(pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd"), _BLOCK)
    return raw
