"""Open a file, a URL or standard input as a stream of lines, decompressed by its suffix."""

from __future__ import annotations

import codecs
import hashlib
import io
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO

from prompteol.corpus.storage import file_system, is_url
from prompteol.errors import CorpusError
from prompteol.files.compression import DAMAGE, decompressed, suffix_of

_BLOCK = 1 << 20
# UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class Broken(str):
    """Say why a source cannot be read on, in the place of its next row."""


@contextmanager
def open_stream(name: str, *, decompress: bool = True) -> Iterator[BinaryIO]:
    """Open a path, a URL or ``-`` for reading bytes while the block runs.

    Raises:
        CorpusError: it cannot be opened.
    """
    if name == "-":
        # Python sets it to None where the process was started without one, as by `<&-`.
        if sys.stdin is None or sys.stdin.closed:
            raise CorpusError("standard input is closed, or was read already; give a file, or - once")
        yield sys.stdin.buffer
        return
    with ExitStack() as stack:
        try:
            raw = stack.enter_context(_open_remote(name) if is_url(name) else open(name, "rb"))  # noqa: SIM115
        except OSError as error:
            raise CorpusError(f"cannot read {name!r}: {error.strerror or error}") from error
        suffix = suffix_of(name)[1] if decompress else ""
        # What decompresses leaves the file below it open.
        yield stack.enter_context(decompressed(raw, suffix)) if suffix else raw


def raw_lines(name: str) -> Iterator[tuple[int, bytes | Broken]]:
    """Yield numbered lines in UTF-8, ends kept; where the stream is damaged, one :class:`Broken` ends it.

    Only a newline ends a line. UTF-16 and UTF-32 are known by their byte order mark; that of UTF-8 is left out.
    """
    number = 0
    with open_stream(name) as stream:
        try:
            for number, line in enumerate(_utf8(stream), start=1):
                yield number, line
        except (*DAMAGE, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            yield number + 1, Broken(f"damaged or cut off here, so that the rest cannot be read: {reason}")


def content_hash(name: str) -> tuple[int, str, int]:
    """Read a whole file; return its size in bytes, its SHA-256 and how many newlines it holds."""
    digest, size, lines = hashlib.sha256(), 0, 0
    try:
        with open_stream(name, decompress=False) as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
                size += len(block)
                lines += block.count(b"\n")
    except OSError as error:
        raise CorpusError(f"cannot read {name!r}: {error.strerror or error}") from error
    return size, digest.hexdigest(), lines


def _utf8(stream: BinaryIO) -> Iterator[bytes]:
    start: bytes = stream.peek(4)[:4]  # type: ignore[attr-defined]
    encoding = next((encoding for mark, encoding in _MARKS.items() if start.startswith(mark)), None)
    if encoding is None:
        if first := stream.readline().removeprefix(codecs.BOM_UTF8):
            yield first
        yield from stream
        return
    text = io.TextIOWrapper(stream, encoding=encoding, newline="\n")
    try:
        for line in text:
            yield line.encode()
    finally:
        # Whoever opened the stream closes it.
        text.detach()


def _open_remote(url: str) -> BinaryIO:
    system, path = file_system(url)
    return io.BufferedReader(system.open(path, "rb"), _BLOCK)
