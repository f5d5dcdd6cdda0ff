"""Choose the columns of a table that hold anchor, positive and hard negative, or the text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Literal

from prompteol.errors import CorpusError
from prompteol.files.columns import FIRST, POSITIVE, TEXT, column_named, is_text, listed

Objective = Literal["contrastive", "unsupervised", "distillation"]
"""What a model is trained to do, which decides the columns: two or three texts in a row for the first, else one."""

# Common names in lower case: of hard negatives, those of miners being negative_1, hard_neg_2 and so on,
_NEGATIVE = re.compile(r"(hard[_-]?)?neg(ative)?s?([_-]?\d+)?|contradiction")
# and of how well the texts of a pair go together.
SCORE = (
    "score", "similarity_score", "relatedness_score", "similarity", "label", "gold", "gold_label", "is_duplicate",
)  # fmt: skip


def choose_columns(name: str, existing: Sequence[str], objective: Objective) -> tuple[str, ...]:
    """Choose the columns of an example by common names; one of texts may be the only one there is."""
    if objective == "contrastive":
        anchor, positive = column_named(existing, FIRST), column_named(existing, POSITIVE)
        _refuse_scores(name, existing, [column for column in (anchor, positive) if column])
        if anchor and positive:
            return (anchor, positive, *_negatives(name, existing))
        wanted = "an anchor and a positive, and a negative if there is one"
    else:
        text = column_named(existing, TEXT)
        if text or (len(existing) == 1 and not is_text(existing[0])):
            return (text or existing[0],)
        wanted = "the text"
    raise CorpusError(
        f"{name!r}: which columns hold {wanted}? Name them with --column; its columns: {listed(existing)}"
    )


def _negatives(name: str, existing: Sequence[str]) -> tuple[str, ...]:
    """Return the column of hard negatives, if there is one; an example takes no more."""
    found = tuple(column for column in existing if _NEGATIVE.fullmatch(column.strip().casefold()))
    if len(found) > 1:
        raise CorpusError(
            f"{name!r}: {', '.join(map(repr, found))} all seem to hold negatives, and an example has one: name anchor, "
            "positive and the negative to train on with --column"
        )
    return found


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
