"""Compute the map that whitens vectors, wholly or in part."""

from __future__ import annotations

import torch
from torch import Tensor

from prompteol.errors import InputError, SettingError
from prompteol.techniques.protocol import LinearMap

__all__ = ["whitening"]

# Relative to the largest deviation; below it lies the rounding of vectors in float32.
_NO_DEVIATION = 1e-6


def whitening(vectors: Tensor, power: float, dimension: int | None) -> LinearMap:
    """Return the map ``S^-power U (v - mean)`` of the components ``U`` and their deviations ``S``, largest first."""
    width = vectors.shape[1]
    kept = dimension or width
    if kept > width:
        raise SettingError(f"whitening: dimension={kept}, but the vectors have {width}; give {width} or less")
    mean = vectors.mean(0)
    variances, components = torch.linalg.eigh((vectors - mean).T.cov(correction=0))
    deviations = variances.flip(0).clamp_min(0).sqrt()
    rank = int((deviations > _NO_DEVIATION * deviations[0]).sum())
    if rank < kept:
        raise InputError(
            f"whitening: {len(vectors)} texts vary in {rank} directions, not in {kept}: give more texts, or "
            f"dimension={max(rank, 1)}"
        )
    weight = components.flip(1).T[:kept] / deviations[:kept, None] ** power
    return LinearMap(weight, -weight @ mean)
