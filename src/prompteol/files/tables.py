"""Read the rows of ``.csv`` and ``.tsv`` tables, whatever separates their fields."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Literal

from prompteol.errors import CorpusError
from prompteol.files.columns import column_named
from prompteol.files.decoding import decoded_lines

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
# Between names of columns; in text such characters stand before a blank.
_FOREIGN = re.compile(r"(?<=\w)[:^~](?=\w)")


def parse_delimiter(given: str) -> str:
    r"""Parse a delimiter: the character, its name, or ``\t``."""
    found = {**DELIMITERS, "\\t": "\t"}.get(given.strip(" ").lower() or given, given)
    if found not in DELIMITERS.values():
        raise CorpusError(f"--delimiter {given!r}: expected {', '.join(DELIMITERS)}, or the character itself")
    return found


def separated_rows(
    name: str, default: str, delimiter: str | None, columns: Sequence[str], *, rereadable: bool
) -> Iterator[tuple[int, list[str]]]:
    """Yield the header and the rows of a table, each with the number of the line that it ends on.

    Without a ``delimiter``, it is the one that the header holds; ``default`` where it holds none.
    """
    lines = decoded_lines(name)
    if (first := next(lines, None)) is None:
        return
    delimiter = header_delimiter(name, first[1], delimiter, default, columns)
    quoted = not rereadable or quotes_cells(name, delimiter)
    yield from _fields(name, chain([first], lines), delimiter, quoted=quoted)


def quotes_cells(name: str, delimiter: str) -> bool:
    """Tell whether quotation marks quote in a file; in tables such as GLUE's, between tabs, they are letters."""
    return delimiter != "\t" or _is_sound(name, delimiter, quoted=True) or not _is_sound(name, delimiter, quoted=False)


def header_delimiter(name: str, header: str, given: str | None, default: str, columns: Sequence[str]) -> str:
    """Return what separates the names in a header: what is ``given``, else what it holds, else ``default``.

    Raises:
        CorpusError: it holds several such characters, and the ``columns`` that are wanted do not tell; or none, and
            another seems to separate; or it is no header but Excel's word on the delimiter.
    """
    if header.startswith("sep=") and len(header.strip()) == 5:
        raise CorpusError(f"{name!r}: the first line {header.strip()!r} is for Excel alone: delete it")
    if given is not None:
        return given
    fields = {one: _split(header, one) for one in DELIMITERS.values()}
    found = [one for one, names in fields.items() if len(names) > 1]
    if len(found) > 1 and columns:
        found = [one for one in found if all(column_named(fields[one], [c.strip().casefold()]) for c in columns)]
    if len(found) > 1:
        likely = default if default in found else found[0]
        spelled = next(spelling for spelling, character in DELIMITERS.items() if character == likely)
        fix = f"say what separates the fields, with --delimiter {spelled}"
        raise CorpusError(f"{name!r}: the header holds {' and '.join(map(repr, found))}; {fix}")
    if not found and not columns and (foreign := _FOREIGN.search(header)):
        raise CorpusError(
            f"{name!r}: in the header {header.strip()!r} {foreign[0]!r} seems to separate columns, where only "
            f"{', '.join(DELIMITERS)} may: replace it, or name the whole header with --column"
        )
    return found[0] if found else default


def _split(header: str, delimiter: str) -> list[str]:
    """Split a header; its quotation marks may rule a delimiter out."""
    try:
        return next(csv.reader([header], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return []


def _is_sound(name: str, delimiter: str, *, quoted: bool) -> bool:
    """Tell whether each line has as many fields as the header; unquoted, none of them may seem to be quoted."""
    try:
        rows = _fields(name, decoded_lines(name), delimiter, quoted=quoted)
        return not any(not quoted and _is_quoted(cell) for _, fields in rows for cell in fields)
    except CorpusError:
        return False


def _is_quoted(cell: str) -> bool:
    """Tell whether a cell is quoted, with the quotation marks inside it doubled."""
    inner = cell[1:-1]
    return cell[:1] == cell[-1:] == '"' and '""' in inner and '"' not in inner.replace('""', "")


def _fields(
    name: str, lines: Iterator[tuple[int, str]], delimiter: str, *, quoted: bool
) -> Iterator[tuple[int, list[str]]]:
    """Yield the fields of the header and of each row, as many as the header has."""
    # The default refuses cells of more than 128 KiB, which are sound.
    csv.field_size_limit(2**31 - 1)
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    reader = csv.reader((line for _, line in lines), delimiter=delimiter, quoting=quoting, strict=True)
    width = None
    try:
        for fields in reader:
            if not fields and width is not None:
                continue
            width = len(fields) if width is None else width
            if len(fields) != width:
                found = f"{len(fields)} fields, where the header has {width}"
                raise CorpusError(f"{name!r}, line {reader.line_num}: {found}")
            yield reader.line_num, fields
    except csv.Error as error:
        raise CorpusError(f"{name!r}, line {reader.line_num}: damaged table: {error}") from error
