"""Rows of a retrieval set: a query with its lists of positives and negatives becomes a row for each positive."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Literal

from prompteol.errors import CorpusError

__all__ = ["Negatives", "example_rows"]

Negatives = Literal["sample", "all"]


def example_rows(
    values: Sequence[object], columns: Sequence[str], where: str, *, negatives: Negatives, seed: int
) -> Iterator[tuple[object, ...]]:
    """Yield the examples that a record stands for: itself, unless its positive or negative is a list.

    Args:
        values: of anchor, positive and perhaps negative.
        columns: what they are called.
        where: the record stands, for messages.
        negatives: ``"sample"`` draws a negative for each positive, none twice while there are others; ``"all"`` yields
            a row for each positive with each negative.
        seed: of the draw, which depends on the anchor and not on the order of the records.

    Raises:
        CorpusError: a list is empty, or the anchor is one.
    """
    if not any(isinstance(value, list) for value in values):
        yield tuple(values)
        return
    anchor, *lists = values
    if isinstance(anchor, list):
        raise CorpusError(f"{where}: {columns[0]!r} is a list; expected one text, and lists of positives and negatives")
    for column, texts in zip(columns[1:], lists, strict=True):
        if texts == []:
            without = " ".join(f"--column {name}" for name in columns[:-1])
            hint = f", or train without negatives ({without})" if (column,) == tuple(columns[2:]) else ""
            raise CorpusError(f"{where}: {column!r} is an empty list; remove the row{hint}")
    positives, *given = (texts if isinstance(texts, list) else [texts] for texts in lists)
    for index, positive in enumerate(positives):
        if not given:
            yield anchor, positive
        elif negatives == "all":
            yield from ((anchor, positive, negative) for negative in given[0])
        else:
            yield anchor, positive, _shuffled(given[0], f"{seed} {anchor}")[index % len(given[0])]


def _shuffled(texts: Sequence[object], seed: str) -> list[object]:
    # Of a string, so that the draw is the same in each process and each version of Python.
    return random.Random(seed).sample(list(texts), len(texts))  # noqa: S311
