"""Open a source and read its rows one by one; parse only the wanted ones."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import chain
from typing import Any, BinaryIO, Literal

from prompteol.corpus.storage import file_system, is_url
from prompteol.errors import CorpusError
from prompteol.files.columns import check_names, text_columns
from prompteol.files.compression import DAMAGE, decompressed, suffix_of
from prompteol.files.decoding import open_bytes, utf8_lines
from prompteol.files.readers import json_object
from prompteol.files.tables import header_delimiter, quotes_cells

_BLOCK = 1 << 20
_BATCH_ROWS = 1024
_BATCH_BYTES = 8 << 20
_SURROGATE = re.compile(rb"\xed[\xa0-\xbf]")

RawRow = tuple[int, Any]
"""The number of a row's line, or of the row in a Parquet table, and the row as it was read."""


class Broken(str):
    """Stand in for the next row where a source cannot be read further, and say why."""


@contextmanager
def open_stream(name: str, *, decompress: bool = True) -> Iterator[BinaryIO]:
    """Open a path, a URL or ``-`` for reading bytes while the block runs."""
    with ExitStack() as stack:
        try:
            raw = _open_remote(name) if is_url(name) else open_bytes(name)
        except OSError as error:
            raise CorpusError(f"cannot read {name!r}: {error.strerror or error}") from error
        if name != "-":
            stack.enter_context(raw)
        suffix = suffix_of(name)[1] if decompress else ""
        # A decompressor leaves the file below it open.
        yield stack.enter_context(decompressed(raw, suffix)) if suffix else raw


def raw_lines(name: str) -> Iterator[tuple[int, bytes | Broken]]:
    """Yield numbered lines in UTF-8 with their line ends; at a damaged place, yield one :class:`Broken` and end.

    Only a newline ends a line. UTF-16 and UTF-32 are recognized by their byte order mark; that of UTF-8 is dropped.
    """
    number = 0
    with open_stream(name) as stream:
        try:
            for number, line in enumerate(utf8_lines(stream), start=1):
                yield number, line
        except (*DAMAGE, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            yield number + 1, Broken(f"damaged or cut off here, so that the rest cannot be read: {reason}")


def _open_remote(url: str) -> BinaryIO:
    system, path = file_system(url)
    return io.BufferedReader(system.open(path, "rb"), _BLOCK)


class TextLines:
    """Read plain text, one row per line, into the column ``text``.

    Like every reader, it yields unparsed rows, and :class:`Broken` in place of one that cannot be read; ``parse``
    raises :class:`CorpusError` without file and line; ``unit`` says what the rows' numbers count.
    """

    unit = "line"

    def __init__(self, name: str, columns: Sequence[str] | None = None) -> None:
        self._name = name

    def __iter__(self) -> Iterator[RawRow]:
        return raw_lines(self._name)

    def parse(self, raw: Any) -> Mapping[str, Any]:
        """Return the line without its end."""
        return {"text": _decoded(raw.removesuffix(b"\n").removesuffix(b"\r"))}


class JsonLines(TextLines):
    """Read one JSON object per line; skip blank lines."""

    def __iter__(self) -> Iterator[RawRow]:
        return (row for row in raw_lines(self._name) if isinstance(row[1], Broken) or row[1].strip())

    def parse(self, raw: Any) -> Mapping[str, Any]:
        """Return the object."""
        return json_object(_decoded(raw))


class SeparatedTable:
    """Read a table whose first line names the columns; a quoted cell may hold newlines.

    The wanted ``columns`` may tell what separates the fields; ``default`` is used where the header does not tell.
    """

    unit = "line"

    def __init__(
        self, name: str, columns: Sequence[str] | None = None, *, default: str = ",", delimiter: str | None = None
    ) -> None:
        self._name = name
        self._columns = columns or ()
        self._default = default
        self._delimiter = delimiter
        self._header: list[str] = []

    def __iter__(self) -> Iterator[RawRow]:
        # The default limit refuses cells of more than 128 KiB, which are valid.
        csv.field_size_limit(2**31 - 1)
        broken: list[RawRow] = []
        lines = self._lines(broken)
        first = next(lines, "")
        delimiter = header_delimiter(self._name, first, self._delimiter, self._default, self._columns)
        # Whether quotation marks quote only shows in the whole file, which a pipe or an archive can give only once.
        quoted = not os.path.isfile(self._name) or bool(suffix_of(self._name)[1]) or quotes_cells(self._name, delimiter)
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
        reader = csv.reader(chain([first], lines), delimiter=delimiter, quoting=quoting, strict=True)
        while True:
            try:
                fields = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                if not self._header:
                    # To go on would take the next row for the column names.
                    raise CorpusError(f"{self._name!r}, line {reader.line_num}: damaged table: {error}") from error
                yield reader.line_num, Broken(f"damaged table: {error}")
                continue
            if not self._header:
                try:
                    self._header = [_cell(field) for field in fields]
                except CorpusError as error:
                    raise CorpusError(f"{self._name!r}, line {reader.line_num}: {error}") from error
                check_names(self._name, self._header, self._columns)
            elif fields:
                yield reader.line_num, fields
        yield from broken

    def parse(self, raw: Any) -> Mapping[str, Any]:
        """Return the cells by column."""
        if len(raw) != len(self._header):
            raise CorpusError(f"{len(raw)} fields, where the header has {len(self._header)}")
        return dict(zip(self._header, map(_cell, raw), strict=True))

    def _lines(self, broken: list[RawRow]) -> Iterator[str]:
        """Yield lines that keep bytes outside UTF-8 as they are until their row is parsed."""
        for number, line in raw_lines(self._name):
            if isinstance(line, Broken):
                broken.append((number, line))
                return
            yield line.decode("utf-8", "surrogateescape")


class ParquetTable:
    """Read the wanted columns of a Parquet table batch by batch: ``columns``, else the usual one, and ``keep``."""

    unit = "row"

    def __init__(self, name: str, columns: Sequence[str] | None = None, keep: Sequence[str] = ()) -> None:
        self._name = name
        self._columns = columns
        self._keep = keep

    def __iter__(self) -> Iterator[RawRow]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        row = 0
        with open_stream(self._name) as stream:
            try:
                # Without a buffer, whole columns of a row group would be read at once.
                file = pq.ParquetFile(stream, buffer_size=_BLOCK)
                names = file.schema_arrow.names
                wanted = self._wanted(names)
                for batch in file.iter_batches(_batch_rows(file.metadata, {*wanted}), columns=wanted):
                    for place in range(batch.num_rows):
                        row += 1
                        yield row, (batch, place)
            except (pa.ArrowException, OSError) as error:
                yield row + 1, Broken(f"no readable Parquet from here on: {error}")

    def parse(self, raw: Any) -> Mapping[str, Any]:
        """Return the cells by column."""
        batch, place = raw
        try:
            return {name: batch.column(name)[place].as_py() for name in batch.schema.names}
        except (ValueError, KeyError) as error:
            raise CorpusError(f"no readable cell: {error}") from error

    def _wanted(self, names: list[str]) -> list[str]:
        """Return the columns to read; where none is found, all of them, so that the error can name them."""
        chosen = self._columns
        if chosen is None:
            try:
                chosen = (*text_columns(self._name, names, pair=False), *self._keep)
            except CorpusError:
                return names
        columns = {name.strip().casefold() for name in chosen}
        return [name for name in names if name.strip().casefold() in columns] or names


def _batch_rows(metadata: Any, columns: set[str]) -> int:
    """Return how many rows of a table fit into a batch, judged by the widest row group."""
    widest = 0.0
    for group in (metadata.row_group(place) for place in range(metadata.num_row_groups)):
        chunks = (group.column(place) for place in range(group.num_columns))
        held = sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema.split(".")[0] in columns)
        widest = max(widest, held / max(group.num_rows, 1))
    return max(1, min(_BATCH_ROWS, int(_BATCH_BYTES / widest) if widest else _BATCH_ROWS))


class Mappings:
    """Read rows from a program or a data set on the Hub: dictionaries, or strings for the column ``text``."""

    unit = "row"

    def __init__(self, rows: Iterable[Any]) -> None:
        self._rows = rows

    def __iter__(self) -> Iterator[RawRow]:
        return iter(enumerate(self._rows, start=1))

    def parse(self, raw: Any) -> Mapping[str, Any]:
        """Return the row."""
        if isinstance(raw, str):
            return {"text": raw}
        if not isinstance(raw, Mapping):
            raise CorpusError(f"expected a dictionary or a string, not {type(raw).__name__} {raw!r:.60}")
        return raw if all(type(name) is str for name in raw) else {str(name): value for name, value in raw.items()}


def _decoded(line: bytes) -> str:
    if b"\0" in line:
        raise CorpusError("a NUL byte, which no text holds; convert UTF-16 without a byte order mark to UTF-8 first")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        if _SURROGATE.match(line, error.start):
            raise CorpusError("half of a surrogate pair, which no text holds") from error
        raise CorpusError(
            f"byte 0x{line[error.start]:02x} is not UTF-8; convert the file first, for instance: "
            "iconv -f latin1 -t utf-8"
        ) from error


def _cell(field: str) -> str:
    return field if field.isascii() and "\0" not in field else _decoded(field.encode("utf-8", "surrogateescape"))


Reader = TextLines | SeparatedTable | ParquetTable | Mappings
READERS: dict[str, Callable[[str, Sequence[str] | None], Reader]] = {
    "txt": TextLines,
    "csv": SeparatedTable,
    "tsv": partial(SeparatedTable, default="\t"),
    "jsonl": JsonLines,
    "parquet": ParquetTable,
}
