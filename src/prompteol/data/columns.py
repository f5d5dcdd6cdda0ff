"""Choose the columns of a table that hold anchor, positive and hard negative, or the text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from prompteol.errors import CorpusError
from prompteol.files.columns import FIRST, POSITIVE, TEXT, column_named, is_number, is_text, listed, no_texts

Objective = Literal["contrastive", "unsupervised", "distillation"]
"""What a model is trained to do, which decides the columns: two or three texts in a row for the first, else one."""

# Common names in lower case: of hard negatives, those of miners being negative_1, hard_neg_2 and so on,
_NEGATIVE = re.compile(r"(hard[_-]?)?neg(ative)?s?([_-]?\d+)?|contradiction")
# of how well the texts of a pair go together,
SCORE = (
    "score", "similarity_score", "relatedness_score", "similarity", "label", "gold", "gold_label", "is_duplicate",
)  # fmt: skip
# and of what is neither a text nor a score.
_NO_TEXT = ("id", "idx", "index", "uid", "source", "split")
# Labels are few: so many, or one to so many rows.
_FEW, _ROWS_PER_LABEL = 3, 20


def choose_columns(name: str, existing: Sequence[str], objective: Objective) -> tuple[str, ...]:
    """Choose the columns of an example: by common names, else all of a table that has just so many."""
    if objective == "contrastive":
        anchor, positive = column_named(existing, FIRST), column_named(existing, POSITIVE)
        _refuse_scores(name, existing, [column for column in (anchor, positive) if column])
        if anchor and positive:
            return (anchor, positive, *_negatives(name, existing))
        usual = (FIRST.__contains__, POSITIVE.__contains__, _is_negative)
        if len(existing) in (2, 3) and all(map(_may_hold, existing, usual)):
            return tuple(existing)
        wanted = "an anchor and a positive, and a negative if there is one"
    else:
        text = column_named(existing, TEXT)
        if text or (len(existing) == 1 and not is_text(existing[0])):
            return (text or existing[0],)
        wanted = "the text"
    raise CorpusError(
        f"{name!r}: which columns hold {wanted}? Name them with --column; its columns: {listed(existing)}"
    )


def refuse_labels(name: str, names: Iterable[str], columns: Iterable[Sequence[str]]) -> None:
    """Refuse columns of labels or numbers among those that were taken by position, not by name."""
    for column, texts in zip(names, columns, strict=True):
        values = set(texts)
        few = len(texts) >= _ROWS_PER_LABEL and len(values) <= max(_FEW, len(texts) // _ROWS_PER_LABEL)
        labels = all(map(is_number, values)) or (few and not any(map(is_text, values)))
        if labels and not _is_known(column.strip().casefold()):
            raise no_texts(name, column, sorted(values))


def _negatives(name: str, existing: Sequence[str]) -> tuple[str, ...]:
    """Return the column of hard negatives, if there is one; an example takes no more."""
    found = tuple(column for column in existing if _is_negative(column.strip().casefold()))
    if len(found) > 1:
        raise CorpusError(
            f"{name!r}: {', '.join(map(repr, found))} all seem to hold negatives, and an example has one: name anchor, "
            "positive and the negative to train on with --column"
        )
    return found


def _is_negative(plain: str) -> bool:
    return _NEGATIVE.fullmatch(plain) is not None


def _is_known(plain: str) -> bool:
    return plain in (*FIRST, *POSITIVE, *TEXT) or _is_negative(plain)


def _may_hold(column: str, is_usual: Callable[[str], bool]) -> bool:
    """Tell whether a column may hold what such names stand for: not if its name stands for something else."""
    plain = column.strip().casefold()
    return is_usual(plain) or not (_is_known(plain) or plain in _NO_TEXT or is_text(column))


def _refuse_scores(name: str, existing: Sequence[str], known: Sequence[str]) -> None:
    """Refuse a table with a column of scores: all of its pairs, good and bad, would become positives."""
    score = column_named(existing, SCORE)
    if score is None:
        return
    others = [column for column in existing if column != score]
    example = known if len(known) == 2 else others if len(others) == 2 else ("ANCHOR", "POSITIVE")
    raise CorpusError(
        f"{name!r}: {score!r} seems to say how well the texts of a row go together, but contrastive training takes "
        "every row for a positive: keep the rows that are, then name the columns of text: "
        + " ".join(f"--column {shlex.quote(column)}" for column in example)
    )
