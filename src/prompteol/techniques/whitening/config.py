"""Configure whitening."""

from __future__ import annotations

from dataclasses import dataclass, field

from prompteol.errors import SettingError
from prompteol.techniques.protocol import FitInputs, LinearMap, Readout

__all__ = ["Whitening"]


@dataclass(frozen=True)
class Whitening(Readout):
    """Subtract the mean vector and divide each principal component by a power of its deviation (Su et al., 2021).

    Args:
        power: 1 makes all directions equally important, 0 only centers; a half is between them.
        dimension: keep that many components, those of the largest variance first; ``None``: all.
    """

    power: float = field(default=0.5, metadata={"help": "0 centers, 1 whitens whole"})
    dimension: int | None = field(default=None, metadata={"help": "how many components to keep"})

    def __post_init__(self) -> None:
        if not isinstance(self.power, (int, float)) or not 0 <= self.power <= 1:
            raise SettingError(f"whitening: power={self.power!r} is outside 0 to 1: give 0.5 or 1")
        if self.dimension is not None and (not isinstance(self.dimension, int) or self.dimension < 1):
            raise SettingError(f"whitening: dimension={self.dimension!r} is none: give 1 or more, or None")

    def fit(self, inputs: FitInputs) -> LinearMap:
        """Return the map.

        Raises:
            SettingError: there are fewer dimensions than are to be kept.
            InputError: there are no more texts than components.
        """
        from prompteol.techniques.whitening.operation import whitening

        return whitening(inputs.vectors, self.power, self.dimension)
