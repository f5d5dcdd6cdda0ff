"""Score semantic textual similarity: one Spearman correlation of the cosine over all subsets together."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.preprocessing import normalize

from prompteol.errors import EvaluationError
from prompteol.evaluation.tasks import Embed, StsData


def score_sts(data: StsData, embed: Embed) -> tuple[float, dict[str, float | None]]:
    """Return Spearman x 100 over all subsets concatenated, and that of each subset (paper, Section 4).

    ``embed`` is called once, with every sentence of the task, and returns one row each, dense or sparse.
    A correlation that does not exist (every cosine or every gold score the same) is a
    :class:`~prompteol.errors.EvaluationError` for the whole task and None for a subset.
    """
    embeddings = embed(data.sentences())
    half = embeddings.shape[0] // 2
    similarity = paired_cosines(embeddings[:half], embeddings[half:])
    gold = np.array([*chain.from_iterable(subset.gold for subset in data.subsets)])
    score = _spearman(similarity, gold)
    if score is None:
        raise EvaluationError("no rank correlation exists: all cosines, or all gold scores, are the same")
    ends = np.cumsum([len(subset.gold) for subset in data.subsets])[:-1]
    parts = zip(data.subsets, np.split(similarity, ends), np.split(gold, ends), strict=True)
    return score, {subset.subset: _spearman(*scores) for subset, *scores in parts}


def paired_cosines(first: Any, second: Any) -> NDArray[np.float64]:
    """Return the cosine of each row of one matrix with the same row of the other; 0 where a row is zero."""
    left, right = (normalize(side.astype(np.float64)) for side in (first, second))
    product = left.multiply(right) if hasattr(left, "multiply") else left * right
    # Rounded above float64's noise, so that pairs of one sentence with itself tie at 1 on every machine.
    return np.round(np.asarray(product.sum(axis=1), dtype=np.float64).ravel(), 12)


def _spearman(similarity: NDArray[np.float64], gold: NDArray[np.float64]) -> float | None:
    if np.ptp(similarity) == 0 or np.ptp(gold) == 0:
        return None
    return 100 * float(spearmanr(similarity, gold).statistic)
