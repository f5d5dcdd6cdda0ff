"""Decompress files by the end of their names: ``.gz``, ``.xz`` and ``.zst``."""

from __future__ import annotations

import gzip
import io
import lzma
import zlib
from pathlib import PurePosixPath
from typing import Any, BinaryIO

__all__ = ["DAMAGE", "decompressed", "suffix_of"]

DAMAGE = (EOFError, OSError, zlib.error, lzma.LZMAError)
"""What reading a damaged archive raises."""

_COMPRESSED = (".gz", ".zst", ".xz")
_BLOCK = 1 << 16


def suffix_of(name: str) -> tuple[str, str]:
    """Split off what says the format and the compression: ``"a.jsonl.gz"`` gives ``("jsonl", ".gz")``."""
    path = PurePosixPath(name.replace("\\", "/"))
    compression = path.suffix.lower() if path.suffix.lower() in _COMPRESSED else ""
    return (PurePosixPath(path.stem) if compression else path).suffix.lstrip(".").lower(), compression


def decompressed(raw: BinaryIO, compression: str) -> BinaryIO:
    """Read an open file through what its compression asks for; ``""`` is none. Closing it leaves ``raw`` open."""
    if compression and not raw.peek(1):  # type: ignore[attr-defined]
        # Not even a header, of which gzip and zstd make an archive of nothing.
        return io.BufferedReader(_XzStreams(raw))
    if compression == ".gz":
        return gzip.GzipFile(fileobj=raw, mode="rb")  # type: ignore[return-value]
    if compression == ".xz":
        return io.BufferedReader(_XzStreams(raw), _BLOCK)
    if compression == ".zst":
        # Not the zstandard package, whose reader ends a stream that was cut off as if it were whole.
        import pyarrow as pa

        return io.BufferedReader(pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd"), _BLOCK)
    return raw


class _XzStreams(io.RawIOBase):
    """Decompress every stream of an archive; ``LZMAFile`` takes one that is damaged or padded for the end."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._decoder = lzma.LZMADecompressor()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as is at hand; 0 is the end."""
        while True:
            block = b""
            if self._decoder.eof:
                if not (block := self._next_stream()):
                    return 0
                self._decoder = lzma.LZMADecompressor()
            elif self._decoder.needs_input and not (block := self._raw.read(_BLOCK)):
                raise EOFError("the archive ends in the middle of a stream")
            if found := self._decoder.decompress(block, len(buffer)):
                buffer[: len(found)] = found
                return len(found)

    def _next_stream(self) -> bytes:
        """Return how the next stream begins, after the zeros that may stand before it."""
        block = self._decoder.unused_data.lstrip(b"\0")
        while not block and (read := self._raw.read(_BLOCK)):
            block = read.lstrip(b"\0")
        return block
