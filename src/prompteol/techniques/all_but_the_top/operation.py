"""Compute the map that removes the directions of the largest variance."""

from __future__ import annotations

import torch
from torch import Tensor

from prompteol.errors import InputError, SettingError
from prompteol.techniques.protocol import LinearMap

__all__ = ["all_but_the_top"]


def all_but_the_top(vectors: Tensor, components: int) -> LinearMap:
    """Return the map ``P (v - mean)``, where ``P`` projects on all but the top principal components."""
    texts, width = vectors.shape
    if components >= width:
        raise SettingError(f"all-but-the-top: components={components} leaves nothing of {width} dimensions; give fewer")
    if texts <= components:
        raise InputError(f"all-but-the-top: {texts} texts have no {components} components: give more texts")
    mean = vectors.mean(0)
    top = torch.linalg.svd(vectors - mean, full_matrices=False).Vh[:components]
    projection = torch.eye(width, dtype=vectors.dtype) - top.T @ top
    return LinearMap(projection, -projection @ mean)
