"""Make of the vectors of one teacher or several what a student of another dimension can learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from prompteol.training.teacher import Vectors

Combination = Literal["concatenate", "average"]


def combine_teachers(vectors: Sequence[Vectors], how: Combination, dimension: int, seed: int) -> Vectors:
    """Return one vector per text from the vectors of several teachers, or those of a single teacher unchanged.

    Args:
        vectors: the vectors of each teacher, (texts, its dimension).
        how: ``"concatenate"`` puts unit vectors behind each other, so that a cosine is the mean of the teachers'.
            ``"average"`` brings each to ``dimension`` by :func:`fit_dimension`, turns all to the first (orthogonal
            Procrustes), and takes the mean.
        dimension: the dimension of the student's vectors.
        seed: the seed of the random rotation.
    """
    if len(vectors) == 1:
        return vectors[0]
    if how == "concatenate":
        from sklearn.preprocessing import normalize

        units = [normalize(np.asarray(one, dtype=np.float32)).astype(np.float16) for one in vectors]
        return np.concatenate(units, axis=1)
    from scipy.linalg import orthogonal_procrustes

    first, *others = (fit_dimension(one, dimension, seed) for one in vectors)
    mean: Vectors = np.mean([first, *(one @ orthogonal_procrustes(one, first)[0] for one in others)], axis=0)
    return mean


def fit_dimension(vectors: Vectors, dimension: int, seed: int) -> Vectors:
    """Bring vectors to another dimension with as little change to their cosines as may be.

    The directions of largest variance about the origin are kept (uncentered PCA, so that a cosine stays a cosine), then
    turned by a random rotation: without it the first dimensions would hold nearly everything. Into a larger dimension
    vectors are turned as they are, and no cosine changes.

    Vectors are of shape (texts, their dimension); what is returned, of length 1 and float32.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.preprocessing import normalize

    units = normalize(np.asarray(vectors, dtype=np.float32))
    if units.shape[1] > dimension:
        units = TruncatedSVD(min(dimension, len(units)), random_state=seed).fit_transform(units)
    # An orthogonal matrix, drawn uniformly: QR of a Gaussian one, the signs made those of the diagonal.
    q, r = np.linalg.qr(np.random.default_rng(seed).standard_normal((dimension, dimension)))
    rotation = (q * np.sign(np.diag(r))).astype(np.float32)
    fitted: Vectors = normalize(units @ rotation[: units.shape[1]])
    return fitted
