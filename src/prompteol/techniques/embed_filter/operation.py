"""Compute the map that keeps the middle of the unembedding matrix's spectrum."""

from __future__ import annotations

import torch
from torch import Tensor

from prompteol.techniques.protocol import LinearMap

__all__ = ["embed_filter"]


def embed_filter(unembedding: Tensor, share: float) -> LinearMap:
    """Return the map to the middle right singular vectors, those of larger singular values first.

    Args:
        unembedding: (vocabulary, width).
        share: of the singular vectors that are kept.
    """
    matrix = unembedding.double()
    width = matrix.shape[1]
    kept = max(1, round(share * width))
    start = (width - kept) // 2
    # The eigenvectors of the small product are the right singular vectors of the tall matrix; smallest first.
    directions = torch.linalg.eigh(matrix.T @ matrix).eigenvectors.flip(1).T[start : start + kept]
    return LinearMap(directions, directions.new_zeros(kept))
