"""Compute the map that subtracts the mean."""

from __future__ import annotations

import torch
from torch import Tensor

from prompteol.techniques.protocol import LinearMap

__all__ = ["centering"]


def centering(vectors: Tensor) -> LinearMap:
    """Return the map ``v - mean``."""
    return LinearMap(torch.eye(vectors.shape[1], dtype=vectors.dtype), -vectors.mean(0))
