"""Choose the columns of a table that hold texts: one rule for every command."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prompteol.errors import CorpusError

# Common names of columns in lower case: of a text on its own,
TEXT = ("text", "sentence")
# of the first text of a pair, such as the anchor of an example or a query,
FIRST = (
    "anchor", "sent0", "sentence1", "sentence_1", "sentence_a", "text1", "premise", "query", "question", "question1",
    "left",
)  # fmt: skip
# of the second text of a pair in which the texts belong together,
POSITIVE = (
    "positive", "sent1", "sentence2", "sentence_2", "sentence_b", "text2", "entailment", "document", "passage",
    "answer", "question2", "pos", "right",
)  # fmt: skip
# and of any pair. Whether a hypothesis follows from its premise is for a label to say.
SECOND = (*POSITIVE, "hypothesis")

# A longer field, or one that ends as a sentence does, is no name of a column but a text. A text that is not ASCII may
# have no blanks between its words, so its letters are counted.
_WORDS_OF_A_NAME, _LETTERS_OF_A_NAME, _SIGNS_OF_A_NAME = 3, 40, 12
_ENDS = (".", "?", "!", "。", "？", "！")


def column_named(columns: Sequence[str], names: Iterable[str]) -> str | None:
    """Return the column that has the first of these names, in upper or lower case; ``None`` where none has one."""
    plain = {column.strip().casefold(): column for column in reversed(columns)}
    return next((plain[name] for name in names if name in plain), None)


def named(table: str, existing: Sequence[str], column: str) -> str:
    """Return the column of exactly this name, else the only one that has it in another case."""
    if column in existing:
        return column
    alike = [one for one in existing if one.strip().casefold() == column.strip().casefold()]
    if len(alike) == 1:
        return alike[0]
    if alike:
        raise CorpusError(f"{table!r}: is {column!r} {' or '.join(map(repr, alike))}? Name one of them exactly")
    raise CorpusError(f"{table!r}: no column {column!r}; its columns: {listed(existing)}")


def text_columns(table: str, existing: Sequence[str], *, pair: bool) -> tuple[str, ...]:
    """Choose the columns to read where none is named: by common names, else the only one there is.

    Where a pair is wanted and the table has one column of text, that column is returned.
    """
    first, second = column_named(existing, FIRST), column_named(existing, SECOND)
    if pair and first and second:
        return first, second
    if text := column_named(existing, TEXT):
        return (text,)
    # A column without a name is what a spreadsheet or an index left.
    if len(existing) == 1 and existing[0].strip():
        return tuple(existing)
    columns = "two columns to compare" if pair else "column to read"
    raise CorpusError(f"{table!r}: name the {columns} with --column; its columns: {listed(existing)}")


def check_names(table: str, names: Sequence[str], wanted: Sequence[str] | None = ()) -> None:
    """Refuse a table in which two columns have one name; in another case or with blanks, where none is ``wanted``."""
    first: dict[str, str] = {}
    for name in filter(str.strip, names):
        other = first.setdefault(name if wanted else name.strip().casefold(), name)
        if names.count(name) > 1:
            raise CorpusError(f"{table!r}: {names.count(name)} columns are named {name!r}; rename all but one")
        if other != name:
            raise CorpusError(
                f"{table!r}: columns are named {other!r} and {name!r}: name the one to read with --column"
            )


def check_header(table: str, header: Sequence[str]) -> None:
    """Refuse a first line that is a row, which would be lost as the header."""
    if any(is_text(column) or is_number(column) for column in header):
        fix = "add a header, or name one of them with --column if it is a name"
        found = f"found {list(header)!s:.200}"
        raise CorpusError(f"{table!r}: the first line holds the names of the columns; {found}: {fix}")


def listed(existing: Sequence[str]) -> str:
    """Join column names for a message, the first of many."""
    return ", ".join(f"{name!r:.40}" for name in existing[:20]) or "none"


def no_texts(table: str, column: str, found: Sequence[str]) -> CorpusError:
    """Return the error of a column of numbers or labels that was not named, and might be taken for one of texts."""
    shown = ", ".join(map(repr, found[:3])) + ", ..." * (len(found) > 3)
    fix = "name the columns that hold some with --column"
    return CorpusError(f"{table!r}: {column!r} holds {shown}, which are no texts; {fix}")


def is_text(field: str) -> bool:
    """Tell whether a field is a sentence, rather than a name or a label."""
    letters = _LETTERS_OF_A_NAME if field.isascii() else _SIGNS_OF_A_NAME
    return len(field.split()) > _WORDS_OF_A_NAME or len(field.strip()) > letters or field.strip().endswith(_ENDS)


def is_number(field: str) -> bool:
    """Tell whether a field is a number, with a point or a comma; ``nan`` and ``inf`` are words."""
    try:
        float(field.replace(",", "."))
    except ValueError:
        return False
    return any(map(str.isdigit, field))
