"""What a prompt is worth on pairs: Spearman of the cosine with human scores, or how high positives rank."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

__all__ = ["BLOCK", "Values", "cosines", "reciprocal_ranks", "score"]

Values = NDArray[np.float32]

# A positive is ranked among those of so many neighboring pairs, so that a pair's rank never depends on how large the
# sample has grown. Fewer tell good prompts from better ones less well.
BLOCK = 32
# Above float32's noise: pairs of equal similarity tie on every machine.
_DECIMALS = 6


def cosines(first: NDArray[np.float32], second: NDArray[np.float32]) -> Values:
    """Return the cosine of each row with its fellow, both of shape (pairs, dimension) and length 1."""
    products: Values = (first * second).sum(axis=1)
    return products.round(_DECIMALS)


def reciprocal_ranks(first: NDArray[np.float32], second: NDArray[np.float32]) -> Values:
    """Return 1 / rank of each anchor's positive among the positives of its block of :data:`BLOCK` pairs.

    Both of shape (pairs, dimension) and length 1. Positives that are equally close share the mean of their ranks.
    """
    found = []
    for start in range(0, len(first), BLOCK):
        near = np.round(first[start : start + BLOCK] @ second[start : start + BLOCK].T, _DECIMALS)
        own = np.diag(near)[:, None]
        found.append(1 / (0.5 + (near > own).sum(axis=1) + (near == own).sum(axis=1) / 2))
    return np.concatenate(found).astype(np.float32)


def score(values: Values, gold: Sequence[float] | None) -> float:
    """Return the score x 100 of what a layer gave for each pair.

    Args:
        values: cosines where there are human scores, else reciprocal ranks.
        gold: human scores; ``None`` for the mean reciprocal rank.

    Returns:
        Spearman's correlation x 100 (0 where all cosines are equal), or the mean reciprocal rank x 100.
    """
    if gold is None:
        return 100 * float(values.mean(dtype=np.float64))
    return 100 * float(correlation(rankdata(values)[None], rankdata(gold)[None])[0])


def correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Pearson's correlation of each row with its fellow; 0 where one is constant."""
    one, other = (side - side.mean(axis=1, keepdims=True) for side in (first, second))
    scale = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    products: NDArray[np.float64] = (one * other).sum(axis=1)
    return products / np.where(scale > 0, scale, np.inf)
