"""What a candidate would score on all pairs, told from the few that it has seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from prompteol.tuning.scoring import Values, score

__all__ = ["estimate"]


def estimate(values: Values, references: Sequence[Values], gold: Sequence[float] | None) -> tuple[float, ...]:
    """Estimate each layer's score x 100 on all pairs.

    A prompt is much like others of the same model: what it gives for a pair can be predicted from what they give. So a
    least-squares fit on the pairs seen predicts every pair, and the score on the sample is corrected by how much the
    prediction scores higher on all pairs than on the sample: the fit is a control variate. What it leaves is the luck
    of the draw in the part that the others do not share.

    Args:
        values: (layers, seen): what the candidate gave for the first pairs.
        references: each (layers, pairs): what other candidates gave for all pairs.
        gold: human scores of all pairs; ``None`` where values are reciprocal ranks.
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
