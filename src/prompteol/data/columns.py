"""Which columns of a table are anchor, positive and hard negative, or the text."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Iterable, Sequence

from prompteol.data.scored_pairs import SCORE_COLUMNS
from prompteol.errors import CorpusError
from prompteol.files.columns import TEXT, column_named, is_text
from prompteol.training.recipe import Objective

__all__ = ["choose_columns", "refuse_labels"]

# Names in use, without case, by what the columns hold.
_ANCHOR = ("anchor", "sent0", "sentence1", "sentence_1", "sentence_a", "premise", "query", "question", "question1")
_POSITIVE = (
    "positive", "sent1", "sentence2", "sentence_2", "sentence_b", "entailment", "document", "answer", "question2",
    "pos",
)  # fmt: skip
# Those of miners are negative_1, hard_neg_2 and so on.
_NEGATIVE = re.compile(r"(hard[_-]?)?neg(ative)?s?([_-]?\d+)?|contradiction")
# Names that no column of an example has.
_NO_TEXT = ("id", "idx", "index", "uid", "source", "split")
# Labels are few: so many, or one to so many rows.
_FEW, _ROWS_PER_LABEL = 3, 20


def choose_columns(name: str, existing: Sequence[str], objective: Objective) -> tuple[str, ...]:
    """Settle which columns of a table are the example's: those with names in use, else all that there are.

    Raises:
        CorpusError: that cannot be told, or a column says how well the texts of a row go together.
    """
    if objective == "contrastive":
        anchor, positive = column_named(existing, _ANCHOR), column_named(existing, _POSITIVE)
        _refuse_scores(name, existing, [column for column in (anchor, positive) if column])
        if anchor and positive:
            return (anchor, positive, *_negatives(name, existing))
        usual = (_ANCHOR.__contains__, _POSITIVE.__contains__, _is_negative)
        if len(existing) in (2, 3) and all(map(_may_hold, existing, usual)):
            return tuple(existing)
        wanted = "an anchor and a positive, and a negative if there is one"
    else:
        text = column_named(existing, TEXT)
        if text or (len(existing) == 1 and not is_text(existing[0])):
            return (text or existing[0],)
        wanted = "the text"
    listed = ", ".join(map(repr, existing)) or "none"
    raise CorpusError(f"{name!r}: which columns hold {wanted}? Name them with --column; its columns: {listed}")


def _negatives(name: str, existing: Sequence[str]) -> tuple[str, ...]:
    """Return the column of hard negatives, if there is one.

    Raises:
        CorpusError: there are several, of which an example takes one.
    """
    found = tuple(column for column in existing if _is_negative(column.strip().casefold()))
    if len(found) > 1:
        raise CorpusError(
            f"{name!r}: {', '.join(map(repr, found))} all seem to hold negatives, and an example has one: name anchor, "
            "positive and the negative to train on with --column"
        )
    return found


def _is_negative(plain: str) -> bool:
    return _NEGATIVE.fullmatch(plain) is not None


def refuse_labels(name: str, chosen: Iterable[str], columns: Iterable[Sequence[str]]) -> None:
    """Make sure that columns chosen by place, not by name, hold texts.

    Raises:
        CorpusError: one holds numbers, or the same few words in all rows.
    """
    for column, texts in zip(chosen, columns, strict=True):
        if _is_known(column.strip().casefold()):
            continue
        values = set(texts)
        few = len(texts) >= _ROWS_PER_LABEL and len(values) <= max(_FEW, len(texts) // _ROWS_PER_LABEL)
        if all(map(_is_number, values)) or (few and not any(map(is_text, values))):
            shown = ", ".join(map(repr, sorted(values)[:_FEW]))
            raise CorpusError(
                f"{name!r}: {column!r} holds {shown}{', ...' * (len(values) > _FEW)}, which are no texts; name the "
                "columns that hold some with --column"
            )


def _may_hold(column: str, is_usual: Callable[[str], bool]) -> bool:
    """Tell whether a column may be what is commonly named so: not if its name is that of something else."""
    plain = column.strip().casefold()
    return is_usual(plain) or not (_is_known(plain) or plain in _NO_TEXT or is_text(column))


def _is_known(plain: str) -> bool:
    return plain in (*_ANCHOR, *_POSITIVE, *TEXT) or _is_negative(plain)


def _refuse_scores(name: str, existing: Sequence[str], known: Sequence[str]) -> None:
    """Make sure that no column tells good pairs from bad ones, which would all be positives."""
    score = column_named(existing, SCORE_COLUMNS)
    if score is None:
        return
    others = [column for column in existing if column != score]
    example = known if len(known) == 2 else others if len(others) == 2 else ("ANCHOR", "POSITIVE")
    raise CorpusError(
        f"{name!r}: {score!r} seems to say how well the texts of a row go together, but contrastive training takes "
        "every row for a positive: keep the rows that are, then name the columns of text: "
        + " ".join(f"--column {shlex.quote(column)}" for column in example)
    )


def _is_number(text: str) -> bool:
    try:
        return not math.isnan(float(text))
    except ValueError:
        return False
