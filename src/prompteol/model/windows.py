"""Cut long texts into windows of a few sentences, and bring the windows' scores back to the texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np

from prompteol.errors import InputError, SettingError
from prompteol.validation import as_texts, check_count

WindowPooling = Literal["max", "mean"]

# A blank after the mark; none is needed after a full-width mark, or where the blank was lost between two sentences.
_BETWEEN_SENTENCES = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])\s*(?=\S)|(?<=[a-z)\]][.!?])(?=[A-Z])")


class Windows(NamedTuple):
    """Hold the windows of several texts, one text after the other."""

    texts: list[str]
    starts: list[int]  # the number of each text's first window


def split_windows(texts: str | Sequence[str], sentences: int = 3) -> Windows:
    """Cut each text into windows of a few sentences; an empty text is one empty window.

    Args:
        texts: one text or several.
        sentences: the most sentences in a window. They end at a full stop, an exclamation or a question mark.
    """
    check_count("sentences", sentences)
    found: list[str] = []
    starts = []
    for text in as_texts(texts)[0]:
        starts.append(len(found))
        parts = _BETWEEN_SENTENCES.split(text.strip())
        found += [" ".join(parts[start : start + sentences]) for start in range(0, len(parts), sentences)]
    return Windows(found, starts)


def pool_windows(scores: np.ndarray, starts: Sequence[int], pooling: WindowPooling = "max") -> np.ndarray:
    """Return the scores of texts, (queries, texts), from those of their windows, (queries, windows).

    ``"max"`` takes the best window, ``"mean"`` all alike.
    """
    if pooling not in get_args(WindowPooling):
        raise SettingError(f"pooling={pooling!r} is none of {', '.join(map(repr, get_args(WindowPooling)))}")
    places = np.asarray(starts)
    # reduceat would return a window of the next text for a text without one.
    if places[:1].tolist() not in ([], [0]) or (np.diff([*places, scores.shape[1]]) < 1).any():
        raise InputError(
            f"starts={places.tolist()!s:.60} do not divide {scores.shape[1]} windows: give split_windows's"
        )
    if pooling == "max":
        best: np.ndarray = np.maximum.reduceat(scores, places, axis=1)
        return best
    sums: np.ndarray = np.add.reduceat(scores, places, axis=1)
    return sums / np.diff([*places, scores.shape[1]])
