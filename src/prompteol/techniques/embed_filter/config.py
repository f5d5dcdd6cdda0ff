"""Configure EmbedFilter."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from prompteol.errors import SettingError
from prompteol.techniques.protocol import FitInputs, LinearMap, Readout

__all__ = ["EmbedFilter"]


@dataclass(frozen=True)
class EmbedFilter(Readout):
    """Keep the middle right singular vectors of the unembedding matrix (Wu et al., 2026); it needs no text.

    Args:
        share: of the dimensions that are kept, between as many of the largest and of the smallest singular values.
    """

    share: float = field(default=0.5, metadata={"help": "of the dimensions that are kept"})
    needs_texts: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not isinstance(self.share, float) or not 0 < self.share < 1:
            raise SettingError(f"embed-filter: share={self.share!r} is outside 0 to 1: give 0.5 or 0.125")

    def fit(self, inputs: FitInputs) -> LinearMap:
        """Return the map.

        Raises:
            ModelError: the model has no LM head.
            SettingError: it does not fit the vectors.
        """
        from prompteol.techniques.embed_filter.operation import embed_filter

        return embed_filter(inputs.unembedding, self.share)
