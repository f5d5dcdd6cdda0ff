"""Texts from a file or a pipe, one row at a time, with the file and line of whatever is wrong."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal, TypeVar, get_args

from prompteol.errors import CorpusError, MissingExtraError

__all__ = ["Format", "Row", "TextSource", "chunks"]

Format = Literal["txt", "csv", "tsv", "jsonl", "parquet"]
Row = tuple[str, ...]
Item = TypeVar("Item")


@dataclass(frozen=True)
class TextSource:
    """One file of texts, or ``-`` for standard input, and how its rows are read.

    ``columns`` are the wanted ones of a table, in order. Left empty, they are ``text`` where one column is
    wanted and the table has it, else all columns if the table has exactly ``width`` of them.
    """

    name: str
    format: Format
    columns: tuple[str, ...] = ()
    width: int = 1

    @classmethod
    def open(cls, name: str, format: str | None = None, columns: Sequence[str] = (), *, width: int = 1) -> TextSource:
        """Check that a file is there and settle its format: the suffix's, or ``txt`` for a pipe."""
        return cls(name, _format(name, format), tuple(columns), len(columns) or width)

    @property
    def rereadable(self) -> bool:
        """Whether the rows can be read twice; a pipe's cannot."""
        return self.name != "-" and Path(self.name).is_file()

    def rows(self) -> Iterator[Row]:
        """Yield each row as ``width`` strings; raise :class:`CorpusError` where one cannot be read."""
        return (row for _, row in self.numbered_rows())

    def numbered_rows(self) -> Iterator[tuple[int, Row]]:
        """Yield what :meth:`rows` does, each with the number of the line it ends on; in parquet, of its row."""
        empty = True
        for numbered in _READERS[self.format](self):
            empty = False
            yield numbered
        if empty:
            raise CorpusError(f"{self.name!r} holds no text")

    def texts(self) -> Iterator[str]:
        """Yield the first string of each row."""
        return (row[0] for row in self.rows())

    def count(self) -> int:
        """Read all rows once and count them, so that a fault in the last line is found before any work."""
        return sum(1 for _ in self.rows())

    def choose(self, existing: Sequence[str]) -> tuple[str, ...]:
        """Settle which of the ``existing`` columns are read."""
        listed = ", ".join(map(repr, existing)) or "none"
        for column in self.columns:
            if column not in existing:
                raise CorpusError(f"{self.name!r} has no column {column!r}; its columns: {listed}")
        if self.columns:
            return self.columns
        if self.width == 1 and "text" in existing:
            return ("text",)
        if len(existing) == self.width:
            return tuple(existing)
        raise CorpusError(f"{self.name!r}: name the column to read with --column; its columns: {listed}")

    def numeric(self, chosen: Sequence[str]) -> Sequence[str]:
        """Settle which of the ``chosen`` columns may hold numbers; they are handed on as Python writes them."""
        return ()

    def expand(self, values: Sequence[object], columns: Sequence[str], where: str) -> Iterator[tuple[object, ...]]:
        """Yield the rows that a record of jsonl or parquet stands for; one, unless a subclass reads lists."""
        yield tuple(values)


def chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Cut an iterable into lists of ``size`` items; the last may be shorter."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _format(name: str, format: str | None) -> Format:
    path = Path(name)
    # Not Path.exists(), which raises where a name is too long to be one: a text in place of a file.
    if name != "-" and not os.path.exists(name):
        raise CorpusError(f"no such file: {name!r:.200}")
    if path.is_dir():
        raise CorpusError(f"{name!r} is a folder; give the files in it")
    # A pipe, `-` or `<(command)`, has no suffix that says anything.
    guess = format or (path.suffix.lstrip(".").lower() if path.is_file() else "txt") or "txt"
    formats: dict[str, Format] = {known: known for known in get_args(Format)}
    if guess in formats:
        return formats[guess]
    listed = ", ".join(formats)
    raise CorpusError(f"{name!r}: {guess!r} is none of the formats {listed}; name one with --format")


def _open(name: str) -> BinaryIO:
    if name == "-":
        return sys.stdin.buffer
    try:
        return open(name, "rb")
    except OSError as error:
        raise CorpusError(f"cannot read {name!r}: {error.strerror}") from error


def _lines(name: str) -> Iterator[tuple[int, str]]:
    """Yield numbered lines, ends kept. Only a newline ends a line: a text may hold any other separator."""
    with _open(name) as file:
        for number, line in enumerate(file, start=1):
            try:
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise CorpusError(
                    f"{name!r}, line {number}: byte 0x{line[error.start]:02x} is not UTF-8; "
                    "convert the file first, for instance: iconv -f latin1 -t utf-8"
                ) from error


def _read_txt(source: TextSource) -> Iterator[tuple[int, Row]]:
    if source.columns:
        raise CorpusError(f"{source.name!r} is read as plain text, which has no columns; leave --column out")
    for number, line in _lines(source.name):
        yield number, (line.removesuffix("\n").removesuffix("\r"),)


def _read_separated(source: TextSource, *, delimiter: str) -> Iterator[tuple[int, Row]]:
    # The default refuses cells of more than 128 KiB, which are sound.
    csv.field_size_limit(2**31 - 1)
    quoted = True
    if delimiter == "\t" and source.rereadable and not _is_sound(source.name, delimiter, quoted=True):
        # In tables such as GLUE's a quotation mark is a letter.
        quoted = not _is_sound(source.name, delimiter, quoted=False)
    rows = _fields(source.name, delimiter, quoted=quoted)
    _, header = next(rows, (0, []))
    indices = [header.index(column) for column in source.choose(header)] if header else []
    for number, fields in rows:
        yield number, tuple(fields[index] for index in indices)


def _is_sound(name: str, delimiter: str, *, quoted: bool) -> bool:
    """Tell whether each line has as many fields as the header; unquoted, none of them may seem to be quoted."""
    try:
        cells = (field for _, fields in _fields(name, delimiter, quoted=quoted) for field in fields)
        return not any(not quoted and _is_quoted(cell) for cell in cells)
    except CorpusError:
        return False


def _is_quoted(cell: str) -> bool:
    """Tell a cell in which quotation marks were written twice for those around it."""
    inner = cell[1:-1]
    return cell[:1] == cell[-1:] == '"' and '""' in inner and '"' not in inner.replace('""', "")


def _fields(name: str, delimiter: str, *, quoted: bool) -> Iterator[tuple[int, list[str]]]:
    """Yield the fields of the header and of each row, as many as the header has."""
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    reader = csv.reader((line for _, line in _lines(name)), delimiter=delimiter, quoting=quoting, strict=True)
    width = None
    try:
        for fields in reader:
            if not fields and width is not None:
                continue
            width = len(fields) if width is None else width
            if len(fields) != width:
                raise CorpusError(
                    f"{name!r}, line {reader.line_num}: {len(fields)} fields, where the header has {width}"
                )
            yield reader.line_num, fields
    except csv.Error as error:
        raise CorpusError(f"{name!r}, line {reader.line_num}: damaged table: {error}") from error


def _read_jsonl(source: TextSource) -> Iterator[tuple[int, Row]]:
    columns: tuple[str, ...] = ()
    seen: set[frozenset[str]] = set()
    for number, line in _lines(source.name):
        if not line.strip():
            continue
        where = f"{source.name!r}, line {number}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise CorpusError(f"{where}: not JSON: {error}") from error
        if not isinstance(record, dict):
            raise CorpusError(f'{where}: expected an object such as {{"text": "..."}}, not {line.strip()[:40]}')
        columns = columns or source.choose(list(record))
        numeric = source.numeric(columns)
        values = [record.get(name) for name in columns]
        names = frozenset(record)
        if not source.columns and names not in seen:
            seen.add(names)
            if source.choose(list(record)) != columns:
                raise CorpusError(
                    f"{where}: with the columns {', '.join(map(repr, record))} other ones would be read than in the "
                    f"lines before, where they were {', '.join(columns)}; give every line the same, or name them with "
                    "--column"
                )
        for row in source.expand(values, columns, where):
            yield number, _strings(row, columns, where, numeric)


def _strings(values: Sequence[object], columns: Sequence[str], where: str, numeric: Sequence[str]) -> Row:
    named = zip(columns, values, strict=True)
    return tuple(_string(value, name, where, number=name in numeric) for name, value in named)


def _string(value: object, column: str, where: str, *, number: bool) -> str:
    if number and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise CorpusError(f"{where}: {column!r} should be a {'number' if number else 'string'}, not {value!r}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise CorpusError(f"{where}: {column!r} holds half of a surrogate pair: {error}") from error
    return value


def _read_parquet(source: TextSource) -> Iterator[tuple[int, Row]]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError("pyarrow", "parquet") from error
    if not source.rereadable:
        raise CorpusError("parquet cannot be read from a pipe; save it to a file first")
    try:
        with pq.ParquetFile(source.name) as file:
            columns = source.choose(file.schema_arrow.names)
            numeric = source.numeric(columns)
            row = 0
            for batch in file.iter_batches(columns=list(columns)):
                for values in zip(*(batch.column(column).to_pylist() for column in columns), strict=True):
                    row += 1
                    where = f"{source.name!r}, row {row}"
                    for expanded in source.expand(values, columns, where):
                        yield row, _strings(expanded, columns, where, numeric)
    except (pa.ArrowException, OSError) as error:
        raise CorpusError(f"{source.name!r} is no readable parquet file: {error}") from error


_READERS: dict[Format, Callable[[TextSource], Iterator[tuple[int, Row]]]] = {
    "txt": _read_txt,
    "csv": partial(_read_separated, delimiter=","),
    "tsv": partial(_read_separated, delimiter="\t"),
    "jsonl": _read_jsonl,
    "parquet": _read_parquet,
}
