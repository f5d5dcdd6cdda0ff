"""Read texts from a file or a pipe, row by row, with errors that name the file and line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from prompteol.errors import CorpusError
from prompteol.extras import check_extra
from prompteol.files import columns as rules
from prompteol.files.compression import suffix_of
from prompteol.files.decoding import decoded_lines
from prompteol.files.tables import parse_delimiter, separated_rows

if TYPE_CHECKING:
    from typing import Self

Format = Literal["txt", "csv", "tsv", "jsonl", "parquet"]
TextRow = tuple[str, ...]
Item = TypeVar("Item")


@dataclass(frozen=True)
class TextSource:
    """Read the rows of one file of texts, or of standard input (``-``), as ``width`` strings each.

    Columns of a table are read in the order given, in upper or lower case; where none is, common names are looked for.
    A delimiter of ``None`` is read from the header.
    """

    name: str
    format: Format
    columns: tuple[str, ...] = ()
    width: int = 1
    delimiter: str | None = None

    @classmethod
    def open(
        cls,
        name: str,
        format: str | None = None,
        columns: Sequence[str] = (),
        *,
        width: int = 1,
        delimiter: str | None = None,
    ) -> Self:
        """Check that a file is there, and take its format from its suffix; a pipe is ``txt``."""
        settled = _format(name, format)
        if delimiter is not None and settled not in ("csv", "tsv"):
            raise CorpusError(f"{name!r} is read as {settled}, which has no delimiter; leave --delimiter out")
        delimiter = None if delimiter is None else parse_delimiter(delimiter)
        return cls(name, settled, tuple(columns), len(columns) or width, delimiter)

    @property
    def rereadable(self) -> bool:
        """Tell whether the rows can be read twice; those of a pipe cannot."""
        return self.name != "-" and Path(self.name).is_file()

    def rows(self) -> Iterator[TextRow]:
        """Yield each row as ``width`` strings; raise :class:`CorpusError` where one cannot be read."""
        return (row for _, row in self.numbered_rows())

    def numbered_rows(self) -> Iterator[tuple[int, TextRow]]:
        """Yield what :meth:`rows` does, each with the number of the line it ends on; in parquet, of its row."""
        rows = _READERS[self.format](self)
        first = next(rows, None)
        if first is None:
            raise CorpusError(f"{self.name!r} holds no text")
        yield first
        yield from rows

    def texts(self) -> Iterator[str]:
        """Yield the first string of each row."""
        return (row[0] for row in self.rows())

    def count(self) -> int:
        """Read all rows once and count them, so that a fault in the last line is found before any work."""
        return sum(1 for _ in self.rows())

    def settle(self, existing: Sequence[str]) -> tuple[str, ...]:
        """Choose which of the existing columns are read, none of which may have another one's name."""
        rules.check_names(self.name, existing, self.columns)
        return self.choose(existing)

    def choose(self, existing: Sequence[str]) -> tuple[str, ...]:
        """Choose which of the existing columns are read."""
        if self.columns:
            return tuple(rules.named(self.name, existing, column) for column in self.columns)
        if self.format in ("csv", "tsv") and not rules.column_named(existing, (*rules.TEXT, *rules.FIRST)):
            rules.check_header(self.name, existing)
        return rules.text_columns(self.name, existing, pair=self.width == 2)

    def numeric(self, columns: Sequence[str]) -> Sequence[str]:
        """Choose which of the columns that are read may hold numbers; they are read as Python prints them."""
        return ()

    def expand(self, values: Sequence[object], columns: Sequence[str], where: str) -> Iterator[tuple[object, ...]]:
        """Yield the rows of a record of jsonl or parquet: one, unless a subclass reads lists."""
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
    suffix, compression = suffix_of(name) if path.is_file() else ("txt", "")
    guess = format or suffix or "txt"
    if guess == "parquet" or compression == ".zst":
        check_extra("parquet", "pyarrow")
    formats: dict[str, Format] = {known: known for known in get_args(Format)}
    if guess not in formats:
        raise CorpusError(f"{name!r}: {guess!r} is none of the formats {', '.join(formats)}; name one with --format")
    return formats[guess]


def _read_txt(source: TextSource) -> Iterator[tuple[int, TextRow]]:
    if source.columns:
        raise CorpusError(f"{source.name!r} is read as plain text, which has no columns; leave --column out")
    for number, line in decoded_lines(source.name):
        yield number, (line.removesuffix("\n").removesuffix("\r"),)


def _read_separated(source: TextSource, *, default: str) -> Iterator[tuple[int, TextRow]]:
    rows = separated_rows(source.name, default, source.delimiter, source.columns, rereadable=source.rereadable)
    _, header = next(rows, (0, []))
    if not header:
        return
    columns = source.settle(header)
    places = [header.index(column) for column in columns]
    yield from _texts(source, columns, ((number, tuple(fields[place] for place in places)) for number, fields in rows))


def _texts(
    source: TextSource, columns: Sequence[str], rows: Iterable[tuple[int, TextRow]]
) -> Iterator[tuple[int, TextRow]]:
    """Yield the rows once every column that is not named has shown something other than a number."""
    numbers = columns if source.columns else source.numeric(columns)
    unsure = {place for place, column in enumerate(columns) if column not in numbers}
    iterator = iter(rows)
    first: list[tuple[int, TextRow]] = []
    while unsure and (numbered := next(iterator, None)) is not None:
        first.append(numbered)
        _, cells = numbered
        unsure = {place for place in unsure if not cells[place].strip() or rules.is_number(cells[place])}
    for place in sorted(unsure):
        if found := list(dict.fromkeys(row[place] for _, row in first if row[place].strip())):
            raise rules.no_texts(source.name, columns[place], found)
    yield from first
    yield from iterator


def _strings(source: TextSource, values: Sequence[object], columns: Sequence[str], where: str) -> Iterator[TextRow]:
    """Yield the rows of a record of jsonl or parquet, whose values may be anything."""
    numbers = [name in source.numeric(columns) for name in columns]
    for row in source.expand(values, columns, where):
        yield tuple(map(_string, row, columns, repeat(where), numbers))


def _string(value: object, column: str, where: str, number: bool) -> str:
    if number and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise CorpusError(f"{where}: {column!r} should be a {'number' if number else 'string'}, not {value!r}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise CorpusError(f"{where}: {column!r} holds half of a surrogate pair: {error}") from error
    return value


def _read_jsonl(source: TextSource) -> Iterator[tuple[int, TextRow]]:
    records = _records(source.name)
    first = next(records, None)
    if first is not None:
        columns = source.settle(list(first[1]))
        yield from _texts(source, columns, _json_rows(source, columns, chain([first], records)))


def _json_rows(
    source: TextSource, columns: tuple[str, ...], records: Iterable[tuple[int, dict[str, Any]]]
) -> Iterator[tuple[int, TextRow]]:
    seen: set[frozenset[str]] = set()
    for number, record in records:
        where, keys = f"{source.name!r}, line {number}", frozenset(record)
        for name in columns:
            if name not in record:
                keys_here = rules.listed(list(record))
                raise CorpusError(f"{where}: no key {name!r}, which the first line has; its keys: {keys_here}")
        for row in _strings(source, [record[name] for name in columns], columns, where):
            yield number, row
        if not source.columns and keys not in seen:
            seen.add(keys)
            if source.settle(list(record)) != columns:
                others = f"other ones would be read than in the lines before, {', '.join(columns)}"
                fix = "give every line the same, or name them with --column"
                raise CorpusError(f"{where}: with the columns {rules.listed(list(record))} {others}; {fix}")


def _records(name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in decoded_lines(name):
        if not line.strip():
            continue
        where = f"{name!r}, line {number}"
        try:
            yield number, json_object(line)
        except CorpusError as error:
            raise CorpusError(f"{where}: {error}") from error


def json_object(line: str) -> dict[str, Any]:
    """Parse a line of JSON; the :class:`CorpusError` of one that holds no object names no file."""
    try:
        record = json.loads(line, object_pairs_hook=_without_duplicates)
    except CorpusError:
        raise
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"not JSON: {error}") from error
    if not isinstance(record, dict):
        raise CorpusError(f'expected an object such as {{"text": "..."}}, not {line.strip()[:40]}')
    return record


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dict of a JSON object; refuse a repeated key, of which Python would silently take the last."""
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        raise CorpusError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is there twice; keep one")
    return record


def _read_parquet(source: TextSource) -> Iterator[tuple[int, TextRow]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not source.rereadable:
        raise CorpusError("parquet cannot be read from a pipe; save it to a file first")
    try:
        with pq.ParquetFile(source.name) as file:
            columns = source.settle(file.schema_arrow.names)
            batches = file.iter_batches(columns=list(columns))
            values = (zip(*(batch.column(name).to_pylist() for name in columns), strict=True) for batch in batches)
            records = enumerate(chain.from_iterable(values), start=1)
            place = f"{source.name!r}, row"
            rows = ((at, row) for at, one in records for row in _strings(source, one, columns, f"{place} {at}"))
            yield from _texts(source, columns, rows)
    except (pa.ArrowException, OSError) as error:
        raise CorpusError(f"{source.name!r} is no readable parquet file: {error}") from error


_READERS: dict[Format, Callable[[TextSource], Iterator[tuple[int, TextRow]]]] = {
    "txt": _read_txt,
    "csv": partial(_read_separated, default=","),
    "tsv": partial(_read_separated, default="\t"),
    "jsonl": _read_jsonl,
    "parquet": _read_parquet,
}
