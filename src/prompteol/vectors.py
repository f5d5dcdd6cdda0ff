"""Scale vectors to length 1, and say how far equal ones may be apart in each dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

# Half precision rounds each layer.
_HALF = {torch.float16: 2e-2, torch.bfloat16: 1e-1}


def unit(vectors: Any, dtype: type[np.floating[Any]] = np.float32) -> NDArray[Any]:
    """Scale vectors to length 1; one of zeros stays, and one that overflowed is not finite."""
    array = np.ascontiguousarray(vectors, dtype=dtype)
    lengths = np.linalg.norm(array, axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return (array / np.where(lengths == 0, 1, lengths)).astype(dtype, copy=False)


def tolerance(dtype: torch.dtype) -> float:
    """Return how far entries of equal vectors of length 1 may differ where they are computed in two ways."""
    return _HALF.get(dtype, 1e-5)
