"""Choose the columns of a table that hold texts: one rule for every command."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from prompteol.errors import CorpusError

__all__ = [
    "FIRST",
    "SECOND",
    "TEXT",
    "check_header",
    "check_names",
    "column_named",
    "is_number",
    "is_text",
    "listed",
    "named",
    "text_columns",
    "without_numbers",
]

# Names in use, without case, by what the columns hold.
TEXT = ("text", "sentence")
FIRST = (
    "sentence1", "sentence_1", "sentence_a", "text1", "sent0", "anchor", "query", "question", "question1", "premise",
    "left",
)  # fmt: skip
SECOND = (
    "sentence2", "sentence_2", "sentence_b", "text2", "sent1", "positive", "document", "answer", "question2",
    "hypothesis", "right",
)  # fmt: skip
# A name is short; what is longer, or ends as a sentence does, is a text, and the table has no header.
_WORDS_OF_A_NAME, _LETTERS_OF_A_NAME, _SIGNS_OF_A_NAME = 3, 40, 12
_ENDS = (".", "?", "!", "。", "？", "！")


def column_named(columns: Sequence[str], names: Iterable[str]) -> str | None:
    """Return the column that has the first of the names that one has, without case and blanks around."""
    plain = {column.strip().casefold(): column for column in reversed(columns)}
    return next((plain[name] for name in names if name in plain), None)


def named(table: str, existing: Sequence[str], column: str) -> str:
    """Return the column of exactly this name, else the one that has it in another case.

    Raises:
        CorpusError: there is none, or several.
    """
    if column in existing:
        return column
    alike = [one for one in existing if one.strip().casefold() == column.strip().casefold()]
    if len(alike) == 1:
        return alike[0]
    if alike:
        raise CorpusError(f"{table!r}: is {column!r} {' or '.join(map(repr, alike))}? Name one of them exactly")
    raise CorpusError(f"{table!r} has no column {column!r}; its columns: {listed(existing)}")


def text_columns(table: str, existing: Sequence[str], width: Literal[1, 2]) -> tuple[str, ...]:
    """Settle which columns are read where none is named: by names in use, else all if there are ``width`` of them.

    Where a pair is wanted, a table with one column of text gives that.

    Raises:
        CorpusError: that cannot be told.
    """
    if width == 2:
        first, second = column_named(existing, FIRST), column_named(existing, SECOND)
        if first and second:
            return first, second
    text = column_named(existing, TEXT)
    if text:
        return (text,)
    # A column without a name is what a spreadsheet or an index left.
    if len(existing) in (1, width) and all(column.strip() for column in existing):
        return tuple(existing)
    raise CorpusError(f"{table!r}: name the column to read with --column; its columns: {listed(existing)}")


def check_names(table: str, names: Sequence[str]) -> None:
    """Make sure that no two columns have one name.

    Raises:
        CorpusError: two have.
    """
    filled = [name for name in names if name.strip()]
    twice = next((name for name in filled if filled.count(name) > 1), None)
    if twice is not None:
        raise CorpusError(f"{table!r} has {filled.count(twice)} columns named {twice!r}; rename all but one")


def check_header(table: str, header: Sequence[str]) -> None:
    """Make sure that the first line of a table is no row, which would be lost.

    Raises:
        CorpusError: it holds a text or a number.
    """
    if any(is_text(column) or is_number(column) for column in header):
        raise CorpusError(
            f"{table!r}: the first line holds the names of the columns; found {list(header)!s:.200}: add a header, or "
            "name one of them with --column if it is a name"
        )


def listed(existing: Sequence[str]) -> str:
    """Return column names as messages show them."""
    return ", ".join(map(repr, existing)) or "none"


def without_numbers(
    table: str, columns: Sequence[str], numbers: Sequence[str], rows: Iterable[tuple[int, tuple[str, ...]]]
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield the rows, the first ones as soon as every column was seen to hold something else than numbers.

    Raises:
        CorpusError: a column that may not holds numbers alone.
    """
    unsure = {place for place, column in enumerate(columns) if column not in numbers}
    iterator = iter(rows)
    held: list[tuple[int, tuple[str, ...]]] = []
    while unsure and (numbered := next(iterator, None)) is not None:
        held.append(numbered)
        unsure = {place for place in unsure if not numbered[1][place].strip() or is_number(numbered[1][place])}
    for place in sorted(unsure):
        found = list(dict.fromkeys(row[place] for _, row in held if row[place].strip()))
        if found:
            shown = ", ".join(map(repr, found[:3])) + ", ..." * (len(found) > 3)
            raise CorpusError(
                f"{table!r}: {columns[place]!r} holds {shown}, which are no texts; name the columns that hold some "
                "with --column"
            )
    yield from held
    yield from iterator


def is_text(field: str) -> bool:
    """Tell a sentence from a name or a label; where words have no blanks between them, by its letters."""
    letters = _LETTERS_OF_A_NAME if field.isascii() else _SIGNS_OF_A_NAME
    return len(field.split()) > _WORDS_OF_A_NAME or len(field.strip()) > letters or field.strip().endswith(_ENDS)


def is_number(field: str) -> bool:
    """Tell a number, with a point or a comma; ``nan`` and ``inf`` are words."""
    try:
        float(field.replace(",", "."))
    except ValueError:
        return False
    return any(map(str.isdigit, field))
