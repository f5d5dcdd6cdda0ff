"""Take text and kept columns out of rows, or say what is wrong with a row, with its file and line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np

from prompteol.corpus.inputs import Source
from prompteol.corpus.records import Broken, RawRow, Reader
from prompteol.errors import CorpusError
from prompteol.files.columns import check_names, named, text_columns

_TYPES: dict[type, str] = {bool: "bool", int: "int64", float: "double", str: "string"}
_INT64 = 1 << 63
# The kind of an int64 that a float cannot hold exactly.
_LONG = "long"
# Stands in for the file's name in messages, as a Fault names the file itself.
_TABLE = "row"


class Row(NamedTuple):
    """Hold a text to embed, the place of its row in the whole input from 0, and the row's kept values."""

    place: int
    text: str
    kept: tuple[Any, ...]


@dataclass(frozen=True, order=True)
class Fault:
    """Describe a row without a vector: its place in the whole input from 0, its file and line, and what is wrong."""

    row: int
    file: str
    at: str
    error: str

    def __str__(self) -> str:
        return f"{self.file!r}, {self.at}: {self.error}"


class Located(NamedTuple):
    """Hold a row that is not parsed yet, and where it stands."""

    place: int
    source: Source
    reader: Reader
    raw: RawRow
    # The column that is read from this source where none is named; None before a row has shown it.
    column: str | None = None

    def fault(self, error: str) -> Fault:
        """Describe what is wrong with this row, in one short line."""
        said = " ".join(error.removeprefix(f"{_TABLE!r}: ").split())[:500].encode("utf-8", "backslashreplace").decode()
        return Fault(self.place, self.source.name, f"{self.reader.unit} {self.raw[0]}", said)

    def unread(self) -> Located:
        """Return the place without the row, so that the row's memory can be freed."""
        return self._replace(raw=(self.raw[0], None))


def bytes_held(value: Any, depth: int = 4) -> int:
    """Return about how many bytes of text a row holds, the same number on every machine."""
    if isinstance(value, str):
        # The most bytes that the interpreter takes for a character.
        return len(value) * (1 if value.isascii() else 4)
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, Fault):
        return len(value.at) + len(value.error)
    if isinstance(value, (list, tuple, Mapping)) and depth:
        inner = value.values() if isinstance(value, Mapping) else value
        return sum(bytes_held(one, depth - 1) for one in inner)
    return 8


def located_rows(
    sources: Iterable[Source], columns: Sequence[str] | None, keep: Sequence[str] = ()
) -> Iterator[Located]:
    """Yield the unparsed rows of all sources, one source after the other."""
    place = 0
    for source in sources:
        reader = source.reader(columns, keep)
        column: str | None = None
        for raw in reader:
            if columns is None and column is None:
                column = _column_of(reader, raw)
            yield Located(place, source, reader, raw, column)
            place += 1


def _column_of(reader: Reader, raw: RawRow) -> str | None:
    """Return the column that is read where none is named; ``None`` for a row that cannot be parsed."""
    with suppress(CorpusError):
        if not isinstance(raw[1], Broken):
            return usual_column(tuple(map(str, reader.parse(raw[1]))))
    return None


@dataclass(frozen=True)
class Wanted:
    """Take the wanted columns out of each row; ``types`` are those of ``keep``, by :func:`settle_types`."""

    column: str | None = None
    keep: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    # True where kept values are written as JSON, which has no NaN.
    is_json: bool = False

    def __post_init__(self) -> None:
        for name in {"row", "embedding"} & set(self.keep):
            raise CorpusError(f"keep={name!r}: the output has a column of that name; rename the input's")
        if len(set(self.keep)) < len(self.keep):
            raise CorpusError(f"keep={list(self.keep)} names a column twice")

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The columns to read, or ``None`` where the input decides."""
        return None if self.column is None else (self.column, *self.keep)

    def take(self, located: Located) -> Row | Fault:
        """Parse a row."""
        raw = located.raw[1]
        if isinstance(raw, Broken):
            return located.fault(raw)
        try:
            record = located.reader.parse(raw)
            text = self._text(record, located.column)
            kept = tuple(self._kept(record, name, place, text) for place, name in enumerate(self.keep))
            return Row(located.place, text, kept)
        except CorpusError as error:
            return located.fault(str(error))

    def _text(self, record: Mapping[str, Any], before: str | None) -> str:
        name = usual_column(tuple(map(str, record))) if self.column is None else _named(record, self.column)
        if self.column is None and before not in (None, name):
            # Else, in a row without its text, the id would be embedded as the only column.
            raise CorpusError(
                f"{name!r} would be read here, and {before!r} of the rows before: give every row the same columns, or "
                "name the one to read with --column"
            )
        text = record[name]
        if text is None:
            raise CorpusError(f"{name!r} is null, not a string")
        if not isinstance(text, str):
            raise CorpusError(f"{name!r} should be a string, not {type(text).__name__} {text!r:.60}")
        _check_unicode(name, text)
        return text

    def _kept(self, record: Mapping[str, Any], column: str, place: int, text: str) -> Any:
        # Files of several formats may have different names for their text column.
        is_text = self.column is None and column == "text"
        value: Any = text if is_text else record[_named(record, column)]
        if isinstance(value, (np.number, np.bool_, np.str_)):
            value = value.item()
        if not self.types or value is None:
            return value
        wanted = self.types[place]
        if wanted == "json":
            return _as_json(column, value)
        if wanted == "double" and type(value) is int and _is_exact(value):
            return float(value)
        if self.is_json and type(value) is float and not math.isfinite(value):
            raise CorpusError(f"{column!r} holds {value}, which JSON has not: keep it in shards of Parquet")
        if _TYPES.get(type(value)) != wanted or (wanted == "int64" and not -_INT64 <= value < _INT64):
            # A column that is null in all rows that settle the types gets the type string.
            there = "a string or null" if wanted == "string" else wanted
            raise CorpusError(
                f"{column!r} holds {value!r:.60}, where the first rows have it as {there}: give it one type in every "
                "row, or keep other columns"
            )
        if wanted == "string":
            _check_unicode(column, value)
        return value


def settle_types(rows: Iterable[Row], keep: Sequence[str]) -> tuple[str, ...]:
    """Choose the types of the kept columns by the first rows; ``json`` for mixed types and nested values."""
    found: list[set[str]] = [set() for _ in keep]
    for row in rows:
        for kinds, value in zip(found, row.kept, strict=True):
            if value is not None:
                kinds.add(_kind(value))
    return tuple(_common(kinds) for kinds in found)


def _kind(value: Any) -> str:
    if type(value) is not int:
        return _TYPES.get(type(value), "json")
    return "json" if not -_INT64 <= value < _INT64 else "int64" if _is_exact(value) else _LONG


def _common(kinds: set[str]) -> str:
    if kinds == {"int64", "double"}:
        return "double"
    kinds = {"int64" if kind == _LONG else kind for kind in kinds}
    return next(iter(kinds)) if len(kinds) == 1 else "json" if kinds else "string"


def _is_exact(value: int) -> bool:
    """Tell whether an integer is exact as a float."""
    try:
        return float(value) == value
    except OverflowError:
        return False


def _as_json(column: str, value: Any) -> str:
    """Return JSON that is read back as the same value; dates and decimals become their text."""
    try:
        return json.dumps(value, ensure_ascii=True, allow_nan=False, default=_as_text)
    except (TypeError, ValueError, RecursionError) as error:
        raise CorpusError(f"{column!r} holds {value!r:.60}, which JSON has not; leave it out of keep") from error


def _as_text(value: Any) -> Any:
    if isinstance(value, (np.number, np.bool_, np.ndarray)):
        return value.tolist()
    # A missing date (NaT) differs from itself; its text, "NaT", would be read back as a value.
    if isinstance(value, (date, time, timedelta, Decimal, UUID, np.datetime64)) and value == value:
        return str(value)
    raise TypeError(type(value).__name__)


@lru_cache
def usual_column(names: tuple[str, ...]) -> str:
    """Return the column that is read where none is named."""
    check_names(_TABLE, names)
    return text_columns(_TABLE, names, pair=False)[0]


def _named(record: Mapping[str, Any], column: str) -> str:
    return column if column in record else named(_TABLE, list(map(str, record)), column)


def _check_unicode(name: str, text: str) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise CorpusError(f"{name!r} holds half of a surrogate pair at position {error.start}") from error
