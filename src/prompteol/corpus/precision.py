"""Store vectors in fewer bits, the same way in every shard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from prompteol.errors import SettingError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Precision", "Storage", "check_precision", "int8_ranges"]

Precision = Literal["float32", "float16", "int8", "ubinary"]
_DTYPES = {"float32": "float32", "float16": "float16", "int8": "int8", "ubinary": "uint8"}


@dataclass(frozen=True)
class Storage:
    """How vectors are stored, and how they are read back.

    Args:
        precision: ``float32``; ``float16``; ``int8``, 255 steps between the ranges; ``ubinary``, a bit a dimension.
        dimension: of the vectors before they are stored.
        ranges: for ``int8``, the least and the largest value of each dimension.
    """

    precision: Precision
    dimension: int
    ranges: tuple[tuple[float, ...], tuple[float, ...]] | None = None

    @property
    def dtype(self) -> str:
        """The type of the stored numbers."""
        return _DTYPES[self.precision]

    @property
    def width(self) -> int:
        """How many numbers are stored a vector."""
        return -(-self.dimension // 8) if self.precision == "ubinary" else self.dimension

    def store(self, vectors: NDArray[np.float32]) -> NDArray[Any]:
        """Return (texts, width) of what is stored for (texts, dimension)."""
        import numpy as np
        from sentence_transformers.util.quantization import quantize_embeddings

        if self.precision == "int8":
            ranges = np.asarray(self.ranges, dtype=np.float32)
            # Beyond the ranges, the cast to 8 bits would wrap around to the other end.
            inside = np.clip(vectors, ranges[0], ranges[1])
            stored: NDArray[Any] = quantize_embeddings(inside, precision="int8", ranges=ranges)  # type: ignore[assignment]
            return stored
        if self.precision == "ubinary":
            return np.packbits(vectors > 0, axis=1)
        with np.errstate(over="ignore"):
            return vectors.astype(self.dtype, copy=False)

    def restore(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        """Return float32 vectors to compare with others: of ``int8`` the middle of the step, of a bit -1 or 1."""
        import numpy as np

        if self.precision == "int8":
            low, high = np.asarray(self.ranges, dtype=np.float32)
            restored: NDArray[np.float32] = low + (stored.astype(np.float32) + 128.5) * ((high - low) / 255)
            return restored
        if self.precision == "ubinary":
            bits = np.unpackbits(stored, axis=1, count=self.dimension)
            return bits.astype(np.float32) * 2 - 1
        return stored.astype(np.float32, copy=False)


def int8_ranges(vectors: NDArray[np.float32]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the least and the largest value of each dimension over a sample, never the same one."""
    low, high = vectors.min(axis=0), vectors.max(axis=0)
    low, high = low - (high == low) * 0.5, high + (high == low) * 0.5
    return tuple(low.astype("float32").tolist()), tuple(high.astype("float32").tolist())


def check_precision(precision: str, choices: Sequence[str] = get_args(Precision)) -> None:
    """Raise :class:`SettingError` where there is no such precision."""
    if precision not in choices:
        raise SettingError(f"precision {precision!r} is none of {', '.join(choices)}")
