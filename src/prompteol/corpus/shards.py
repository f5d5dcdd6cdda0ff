"""Write the vectors of one shard in a chosen precision, together with the kept columns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from prompteol.corpus.rows import Row
from prompteol.files.vector_writers import NumpyWriter, ParquetWriter

Precision = Literal["float32", "float16", "int8", "ubinary"]
ShardFormat = Literal["parquet", "npy"]


def shard_name(index: int, format: ShardFormat) -> str:
    """Return the file name of a shard."""
    return f"shard-{index:06d}.{format}"


def ids_name(index: int) -> str:
    """Return the file name of the sidecar of a ``.npy`` shard."""
    return f"shard-{index:06d}.ids.jsonl"


@dataclass(frozen=True)
class Storage:
    """Convert vectors to their stored form, the same in every shard, and back.

    ``int8`` has 255 steps between the least and the largest value of each dimension; ``ubinary`` has one bit per
    dimension, which says whether the value is above 0.
    """

    precision: Precision
    dimension: int
    ranges: Sequence[Sequence[float]] | None = None

    @property
    def dtype(self) -> str:
        """The type of the stored numbers."""
        return "uint8" if self.precision == "ubinary" else self.precision

    @property
    def width(self) -> int:
        """How many numbers are stored per vector."""
        return -(-self.dimension // 8) if self.precision == "ubinary" else self.dimension

    def store(self, vectors: NDArray[np.float32]) -> NDArray[Any]:
        """Return the stored numbers, (texts, width), of vectors, (texts, dimension)."""
        from sentence_transformers.util.quantization import quantize_embeddings

        if self.precision == "int8":
            ranges = np.asarray(self.ranges, dtype=np.float32)
            # A value beyond the range would wrap around to the other end in the cast to 8 bits.
            inside = np.clip(vectors, ranges[0], ranges[1])
            stored: NDArray[Any] = quantize_embeddings(inside, precision="int8", ranges=ranges)  # type: ignore[assignment]
            return stored
        if self.precision == "ubinary":
            return np.packbits(vectors > 0, axis=1)
        return vectors.astype(self.dtype, copy=False)

    def restore(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        """Return float32 vectors: the middle of the step for ``int8``, and -1 or 1 for each bit of ``ubinary``."""
        if self.precision == "int8":
            low, high = np.asarray(self.ranges, dtype=np.float32)
            restored: NDArray[np.float32] = low + (stored.astype(np.float32) + 128.5) * ((high - low) / 255)
            return restored
        if self.precision == "ubinary":
            bits = np.unpackbits(stored, axis=1, count=self.dimension)
            return bits.astype(np.float32) * 2 - 1
        return stored.astype(np.float32, copy=False)


def int8_ranges(vectors: NDArray[np.float32]) -> list[list[float]]:
    """Return the least and the largest value of each dimension over a sample; the two always differ."""
    low, high = vectors.min(axis=0), vectors.max(axis=0)
    low, high = low - (high == low) * 0.5, high + (high == low) * 0.5
    return [low.astype("float32").tolist(), high.astype("float32").tolist()]


class ShardWriter:
    """Write the rows of one shard to one file of Parquet, or to a sidecar of JSON lines and a ``.npy`` array."""

    def __init__(self, files: Sequence[BinaryIO], storage: Storage, keep: Mapping[str, str]) -> None:
        self._parquet = ParquetWriter(files[-1]) if len(files) == 1 else None
        self._writer = self._parquet or NumpyWriter(files[-1])
        self._ids = files[0]
        self._storage = storage
        self._types = {"row": "int64", **keep}

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *raised: Any) -> None:
        self._writer.__exit__(*raised)

    def write(self, rows: Sequence[Row], vectors: NDArray[np.float32]) -> None:
        """Append vectors (rows x dimension); an empty shard needs one call without rows, which sets its width."""
        records = [(row.place, *row.kept) for row in rows]
        stored = self._storage.store(vectors)
        if self._parquet is None:
            lines = (json.dumps(dict(zip(self._types, record, strict=True)), ensure_ascii=False) for record in records)
            self._ids.writelines(f"{line}\n".encode() for line in lines)
            self._writer.write((), stored)
            return
        import pyarrow as pa

        kinds = {"string": pa.string(), "json": pa.string(), "int64": pa.int64(), "double": pa.float64()}
        cells = zip(*records, strict=True) if records else ((),) * len(self._types)
        columns = {
            name: pa.array(values, kinds.get(kind, pa.bool_()))
            for (name, kind), values in zip(self._types.items(), cells, strict=True)
        }
        self._parquet.write_columns(columns, stored)
