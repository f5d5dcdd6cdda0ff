"""How much a prompt gains over another on the same pairs, and whether that is more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap, norm, rankdata

from prompteol.tuning.scoring import Values, correlation

__all__ = ["Gain", "measure_gain"]

_RESAMPLES = 1000
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Gain:
    """A difference of scores x 100.

    Args:
        points: the difference.
        low: of the 95 % bootstrap interval.
        high: of it.
        within_noise: whether chance alone may explain it, all prompts that were compared considered.
    """

    points: float
    low: float
    high: float
    within_noise: bool

    def __str__(self) -> str:
        return f"{self.points:+.2f} (95 % interval {self.low:+.2f} to {self.high:+.2f})"


def measure_gain(values: Values, baseline: Values, gold: Sequence[float] | None, *, compared: int, seed: int) -> Gain:
    """Measure a gain with a paired bootstrap over the pairs.

    The best of many is partly the luckiest: the interval does not know that, so ``within_noise`` asks for more than
    the interval does. With Bonferroni's correction, the gain must exceed as many standard errors as the best of
    ``compared`` prompts would by chance in one search of twenty.

    Args:
        values: (pairs): what the prompt gave.
        baseline: (pairs): what the other one gave.
        gold: human scores; ``None`` for reciprocal ranks.
        compared: settings that the prompt was chosen from.
        seed: of the resamples.
    """
    ranked = np.zeros(len(values)) if gold is None else rankdata(gold)
    data = (values.astype(np.float64), baseline.astype(np.float64), ranked)

    def statistic(*sample: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
        del axis
        rows = [np.atleast_2d(side) for side in sample]
        if gold is None:
            found = (rows[0] - rows[1]).mean(axis=1)
        else:
            ranks = [rankdata(side, axis=1) for side in rows]
            found = correlation(ranks[0], ranks[2]) - correlation(ranks[1], ranks[2])
        points: NDArray[np.float64] = 100 * (found if sample[0].ndim > 1 else found[0])
        return points

    points = float(statistic(*data))
    if np.array_equal(values, baseline):
        return Gain(0.0, 0.0, 0.0, within_noise=True)
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
    least = norm.ppf(1 - (1 - _CONFIDENCE) / 2 / max(1, compared)) * drawn.standard_error
    low, high = map(float, drawn.confidence_interval)
    return Gain(points, low, high, within_noise=bool(points <= least))
