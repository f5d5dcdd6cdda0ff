"""Configure and compute linear read-outs: centering, removal of top components, whitening, EmbedFilter."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from prompteol.errors import InputError, SettingError
from prompteol.techniques.protocol import LinearMap, Readout
from prompteol.techniques.registry import register_technique

if TYPE_CHECKING:
    from torch import Tensor

    from prompteol.techniques.fitting import FitInputs

# Relative to the largest deviation; below it lies the rounding of vectors in float32.
_NO_DEVIATION = 1e-6


@dataclass(frozen=True)
class Centering(Readout):
    """Subtract the mean vector of the texts, which all states of one prompt have in common."""

    def fit(self, inputs: FitInputs) -> LinearMap:
        """Return ``v - mean``."""
        mean = inputs.vectors.mean(0)
        return LinearMap(mean.new_ones(len(mean)).diag(), -mean)


@dataclass(frozen=True)
class AllButTheTop(Readout):
    """Subtract the mean vector and remove the top principal components (Mu and Viswanath, 2018)."""

    components: int = field(default=3, metadata={"help": "how many are removed"})

    def __post_init__(self) -> None:
        if not isinstance(self.components, int) or self.components < 1:
            raise SettingError(f"all-but-the-top: components={self.components!r} is no number of them: give 1 or more")

    def fit(self, inputs: FitInputs) -> LinearMap:
        """Return ``P (v - mean)``, where ``P`` projects on all but the top components."""
        vectors, count = inputs.vectors, self.components
        texts, width = vectors.shape
        if count >= min(texts, width):
            raise InputError(
                f"all-but-the-top: {texts} texts of {width} dimensions do not have more than {count} components: give "
                "more texts, or remove fewer"
            )
        mean = vectors.mean(0)
        top = _descending((vectors - mean).T.cov(correction=0))[1][:count]
        projection = mean.new_ones(width).diag() - top.T @ top
        return LinearMap(projection, -projection @ mean)


@dataclass(frozen=True)
class Whitening(Readout):
    """Subtract the mean vector and divide each principal component by a power of its deviation (Su et al., 2021).

    Deviations of small components are the least sure; ``shrinkage`` moves every variance toward their mean.
    """

    power: float = field(default=0.5, metadata={"help": "0 centers, 1 whitens whole"})
    dimension: int | None = field(default=None, metadata={"help": "how many components are kept, the largest first"})
    shrinkage: float | None = field(default=None, metadata={"help": "share of the mean variance in each variance"})

    def __post_init__(self) -> None:
        if not isinstance(self.power, (int, float)) or not 0 <= self.power <= 1:
            raise SettingError(f"whitening: power={self.power!r} is outside 0 to 1: give 0.5 or 1")
        if self.dimension is not None and (not isinstance(self.dimension, int) or self.dimension < 1):
            raise SettingError(f"whitening: dimension={self.dimension!r} is none: give 1 or more, or None")
        shrinkage = self.shrinkage
        if shrinkage is not None and (not isinstance(shrinkage, (int, float)) or not 0 <= shrinkage <= 1):
            raise SettingError(f"whitening: shrinkage={shrinkage!r} is outside 0 to 1: give 0.1, or None")

    def fit(self, inputs: FitInputs) -> LinearMap:
        """Return ``S^-power U (v - mean)`` of the components ``U`` and their shrunk deviations ``S``."""
        vectors = inputs.vectors
        kept = self.dimension or vectors.shape[1]
        mean = vectors.mean(0)
        variances, components = _descending((vectors - mean).T.cov(correction=0))
        variances = variances.clamp_min(0)
        deviations = variances.lerp(variances.mean(), self.shrinkage or 0.0).sqrt()
        rank = int((deviations > _NO_DEVIATION * deviations[0]).sum())
        if rank < kept:
            raise InputError(
                f"whitening: {len(vectors)} texts vary in {rank} directions, not in {kept}: give more texts, or "
                f"dimension={max(rank, 1)}"
            )
        weight = components[:kept] / deviations[:kept, None] ** self.power
        return LinearMap(weight, -weight @ mean)


@dataclass(frozen=True)
class EmbedFilter(Readout):
    """Keep the middle right singular vectors of the unembedding matrix (Wu et al., 2026); it needs no text."""

    share: float = field(default=0.5, metadata={"help": "of the dimensions, that is kept"})
    needs_texts: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not isinstance(self.share, float) or not 0 < self.share < 1:
            raise SettingError(f"embed-filter: share={self.share!r} is outside 0 to 1: give 0.5 or 0.125")

    def fit(self, inputs: FitInputs) -> LinearMap:
        """Return the map to the middle directions, those of larger singular values first."""
        matrix = inputs.unembedding.double()
        kept = max(1, round(self.share * matrix.shape[1]))
        start = (matrix.shape[1] - kept) // 2
        # The eigenvectors of the small product are the right singular vectors of the tall matrix.
        directions = _descending(matrix.T @ matrix)[1][start : start + kept]
        return LinearMap(directions, directions.new_zeros(kept))


def _descending(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return the eigenvalues of a symmetric matrix, largest first, and the eigenvectors as rows."""
    import torch

    values, vectors = torch.linalg.eigh(matrix)
    return values.flip(0), vectors.flip(1).T


register_technique("centering", Centering)
register_technique("all-but-the-top", AllButTheTop)
register_technique("whitening", Whitening)
register_technique("embed-filter", EmbedFilter)
