"""Score what a prompt gave for pairs, estimate its score from a sample, and measure its gain over another prompt."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap, norm, rankdata

Values = NDArray[np.float32]

# A positive is ranked among those of so many neighboring pairs, so that a pair's rank never depends on how large the
# sample has grown. Fewer tell good prompts from better ones less well.
BLOCK = 32
# Above float32's noise: pairs of equal similarity tie on every machine.
_DECIMALS = 6
_RESAMPLES = 1000
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Gain:
    """Hold a difference of scores x 100, with its 95 % bootstrap interval."""

    points: float
    low: float
    high: float
    within_noise: bool  # whether chance alone may explain it, all prompts that were compared considered

    def __str__(self) -> str:
        return f"{self.points:+.2f} (95 % interval {self.low:+.2f} to {self.high:+.2f})"


def unit_cosines(first: NDArray[np.float32], second: NDArray[np.float32]) -> Values:
    """Return the cosine of each row with that of the other side, both of shape (pairs, dimension) and length 1."""
    products: Values = (first * second).sum(axis=1)
    return products.round(_DECIMALS)


def reciprocal_ranks(
    first: NDArray[np.float32], second: NDArray[np.float32], anchors: Sequence[str] | None = None
) -> Values:
    """Return 1 / rank of each anchor's positive among those of its block of 32 pairs; equals share their mean rank.

    Other positives of the same anchor, known by the texts of ``anchors``, are no wrong answers and left out.
    """
    found = []
    for start in range(0, len(first), BLOCK):
        near = np.round(first[start : start + BLOCK] @ second[start : start + BLOCK].T, _DECIMALS)
        own = np.diag(near)[:, None].copy()
        if anchors is not None:
            texts = np.array(anchors[start : start + BLOCK], dtype=object)
            near[(texts[:, None] == texts) & ~np.eye(len(texts), dtype=bool)] = -np.inf
        found.append(1 / (0.5 + (near > own).sum(axis=1) + (near == own).sum(axis=1) / 2))
    return np.concatenate(found).astype(np.float32)


def score(values: Values, gold: Sequence[float] | None) -> float:
    """Return Spearman's correlation x 100 of cosines with human scores, or without these the mean of values x 100."""
    if gold is None:
        return 100 * float(values.mean(dtype=np.float64))
    return 100 * float(_correlation(rankdata(values)[None], rankdata(gold)[None])[0])


def estimate(values: Values, references: Sequence[Values], gold: Sequence[float] | None) -> tuple[float, ...]:
    """Estimate each layer's score x 100 on all pairs from values of shape (layers, seen).

    A least-squares fit on the pairs seen predicts every pair from what other prompts of the same model gave for it,
    ``references`` of shape (layers, pairs), and the score on the sample is corrected by how much the prediction scores
    higher on all pairs than on the sample: the fit is a control variate.
    """
    return tuple(
        _estimate_layer(own, np.stack([other[layer] for other in references]), gold) for layer, own in enumerate(values)
    )


def _estimate_layer(own: Values, others: Values, gold: Sequence[float] | None) -> float:
    seen = len(own)
    if gold is not None:
        # Spearman's correlation knows ranks alone.
        own, others = rankdata(own) / seen, rankdata(others, axis=1) / others.shape[1]
    features = np.vstack([np.ones(others.shape[1]), others]).T
    weights, *_ = np.linalg.lstsq(features[:seen], own, rcond=None)
    predicted = features @ weights
    here = gold and gold[:seen]
    return score(own, here) - score(predicted[:seen], here) + score(predicted, gold)


def measure_gain(values: Values, baseline: Values, gold: Sequence[float] | None, *, compared: int, seed: int) -> Gain:
    """Measure the gain of ``values`` over ``baseline``, both of shape (pairs), with a paired bootstrap over the pairs.

    The best of many is partly the luckiest, so ``within_noise`` asks for more than the interval: with Bonferroni's
    correction, the gain must exceed as many standard errors as the best of ``compared`` settings would by chance in
    one run of twenty.
    """
    if np.array_equal(values, baseline):
        return Gain(0.0, 0.0, 0.0, within_noise=True)
    ranked = np.zeros(len(values)) if gold is None else rankdata(gold)
    data = (values.astype(np.float64), baseline.astype(np.float64), ranked)

    def statistic(*sample: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
        del axis
        ours, theirs, labels = (np.atleast_2d(side) for side in sample)
        if gold is None:
            gains = (ours - theirs).mean(axis=1)
        else:
            ranks = rankdata(labels, axis=1)
            gains = _correlation(rankdata(ours, axis=1), ranks) - _correlation(rankdata(theirs, axis=1), ranks)
        points: NDArray[np.float64] = 100 * (gains if sample[0].ndim > 1 else gains[0])
        return points

    drawn = bootstrap(
        data,
        statistic,
        paired=True,
        vectorized=True,
        n_resamples=_RESAMPLES,
        batch=100,
        confidence_level=_CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    points = float(statistic(*data))
    least = norm.ppf(1 - (1 - _CONFIDENCE) / 2 / max(1, compared)) * drawn.standard_error
    low, high = map(float, drawn.confidence_interval)
    return Gain(points, low, high, within_noise=bool(points <= least))


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Pearson's correlation of each row with that of the other side; 0 where one is constant."""
    one, other = (side - side.mean(axis=1, keepdims=True) for side in (first, second))
    scale = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    products: NDArray[np.float64] = (one * other).sum(axis=1)
    return products / np.where(scale > 0, scale, np.inf)
