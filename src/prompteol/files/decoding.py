"""Decode the lines of a file or pipe: UTF-8, or UTF-16 and UTF-32 by their byte order mark."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO

from prompteol.errors import CorpusError
from prompteol.files.compression import DAMAGE, decompressed, suffix_of

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
            yield from _wide_lines(name, first, file) if is_wide(first) else _utf8_lines(name, first, file)
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


def is_wide(first: bytes) -> bool:
    """Tell UTF-16 and UTF-32 from UTF-8 by the first bytes."""
    return first.startswith(tuple(MARKS))


def _utf8_lines(name: str, first: bytes, file: BinaryIO) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(chain([first] if first.removeprefix(codecs.BOM_UTF8) else [], file), start=1):
        where = f"{name!r}, line {number}"
        try:
            if b"\0" in line:
                # Behind a newline in little-endian order stands the rest of it.
                raise _without_mark(where, line if number == 1 else line.lstrip(b"\0"))
            yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            # The newline of a wide encoding is a newline and zeros, of which the next line holds some.
            if b"\0" in (following := file.read(_BLOCK)):
                raise _without_mark(where, following.lstrip(b"\0")) from error
            fix = "convert the file first, for instance: iconv -f latin1 -t utf-8"
            raise CorpusError(f"{where}: byte 0x{line[error.start]:02x} is not UTF-8; {fix}") from error


def _without_mark(where: str, line: bytes) -> CorpusError:
    # The upper bytes of common characters are zeros: one of two or two of four, and in big-endian order the first.
    width = 32 if line.count(b"\0\0") >= max(1, len(line) // 4) else 16
    order = "be" if line.startswith(b"\0") or line[::2].count(0) > line[1::2].count(0) else "le"
    fix = f"convert the file first: iconv -f utf-{width}{order} -t utf-8"
    return CorpusError(
        f"{where}: a NUL byte, which no text holds; if it is UTF-{width} without a byte order mark, {fix}"
    )


def wide_lines(first: bytes, file: BinaryIO) -> Iterator[tuple[str, bytes]]:
    """Yield encoding and bytes of each line of UTF-16 or UTF-32, of which ``first`` is read, up to a byte of a newline.

    Lines are cut before they are decoded, so that what is damaged is damage to its own line.
    """
    mark = next(mark for mark in MARKS if first.startswith(mark))
    encoding = f"{MARKS[mark]}-{'le' if mark[:1] == codecs.BOM_UTF16_LE[:1] else 'be'}"
    end, line = "\n".encode(encoding), bytearray(first.removeprefix(mark))
    while True:
        # The rest of a character, some of whose bytes is that of a newline.
        line += file.read(-len(line) % len(end))
        if line.endswith(end) and not len(line) % len(end):
            yield encoding, bytes(line)
            line.clear()
        if not (more := file.readline()):
            break
        line += more
    if line:
        yield encoding, bytes(line)


def utf8_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield lines in UTF-8, unmarked; what is damaged in a wider encoding is no UTF-8 either, in the same line."""
    first = file.readline()
    if is_wide(first):
        yield from (utf8_of(line, encoding) for encoding, line in wide_lines(first, file))
        return
    if first := first.removeprefix(codecs.BOM_UTF8):
        yield first
    yield from file


def utf8_of(line: bytes, encoding: str) -> bytes:
    """Convert a line; what is damaged in it is no UTF-8 either. Raise where it ends within a character."""
    try:
        return line.decode(encoding).encode()
    except UnicodeDecodeError:
        if len(line) % len("\n".encode(encoding)):
            raise
    try:
        return line.decode(encoding, "surrogatepass").encode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        # A number beyond Unicode; the byte 0xFF is none of UTF-8.
        return line.decode(encoding, "replace").replace("\ufffd", "\udcff").encode("utf-8", "surrogateescape")


def _wide_lines(name: str, first: bytes, file: BinaryIO) -> Iterator[tuple[int, str]]:
    for number, (encoding, line) in enumerate(wide_lines(first, file), start=1):
        try:
            yield number, line.decode(encoding)
        except UnicodeDecodeError as error:
            damaged = f"damaged {encoding[:6].upper()}, which its byte order mark says it is: {error.reason}"
            raise CorpusError(f"{name!r}, line {number}: {damaged}") from error
