"""Open a file or pipe, decompress it by the end of its name, and decode its lines.

Compressed are ``.gz``, ``.xz`` and ``.zst``; text is UTF-8, or UTF-16 and UTF-32 by their byte order mark.
"""

from __future__ import annotations

import codecs
import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from prompteol.errors import CorpusError

DAMAGE = (EOFError, OSError, zlib.error, lzma.LZMAError)
"""What reading a damaged archive raises."""

_COMPRESSED = (".gz", ".zst", ".xz")
# UTF-32 first: its little-endian mark begins with that of UTF-16.
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_BLOCK = 1 << 16


def decoded_lines(name: str) -> Iterator[tuple[int, str]]:
    """Yield numbered lines, ends kept. Only a newline ends a line: a text may hold any other separator."""
    try:
        with open_bytes(name) as raw, decompressed(raw, suffix_of(name)[1]) as file:
            first = file.readline()
            encoding = next((encoding for mark, encoding in MARKS.items() if first.startswith(mark)), None)
            yield from _utf8_lines(name, first, file) if encoding is None else _wide_lines(name, first, file, encoding)
    except DAMAGE as error:
        raise CorpusError(f"cannot read {name!r}: {getattr(error, 'strerror', None) or error}") from error


def open_bytes(name: str) -> BinaryIO:
    """Open a file, or ``-`` for standard input."""
    if name != "-":
        return open(name, "rb")
    # Python sets it to None where the process was started without one, as by `<&-`.
    if sys.stdin is None or sys.stdin.closed:
        raise CorpusError("standard input is closed, or was read already; give a file, or - once")
    return sys.stdin.buffer


def _utf8_lines(name: str, first: bytes, file: BinaryIO) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(chain([first] if first else [], file), start=1):
        where = f"{name!r}, line {number}"
        try:
            if b"\0" in line:
                raise _without_mark(where, line)
            yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            # The newline of a wide encoding is a newline and zeros, of which the next line holds some.
            if b"\0" in (following := file.read(_BLOCK)):
                raise _without_mark(where, following) from error
            fix = "convert the file first, for instance: iconv -f latin1 -t utf-8"
            raise CorpusError(f"{where}: byte 0x{line[error.start]:02x} is not UTF-8; {fix}") from error


def _without_mark(where: str, line: bytes) -> CorpusError:
    order = "be" if line[:1] == b"\0" and line[-2:] == b"\0\n" else "le"
    fix = f"if it is UTF-16 without a byte order mark, convert the file first: iconv -f utf-16{order} -t utf-8"
    return CorpusError(f"{where}: a NUL byte, which no text holds; {fix}")


def _wide_lines(name: str, first: bytes, file: BinaryIO, encoding: str) -> Iterator[tuple[int, str]]:
    decoder = codecs.getincrementaldecoder(encoding)()
    number, rest = 0, ""
    try:
        for block in chain([first], iter(partial(file.read, _BLOCK), b""), [b""]):
            *whole, rest = (rest + decoder.decode(block, final=not block)).split("\n")
            for number, line in enumerate(whole, start=number + 1):  # noqa: B020
                yield number, line + "\n"
    except UnicodeDecodeError as error:
        damaged = f"damaged {encoding.upper()}, which its byte order mark says it is: {error.reason}"
        raise CorpusError(f"{name!r}, after line {number}: {damaged}") from error
    if rest:
        yield number + 1, rest


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
