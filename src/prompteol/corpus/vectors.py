"""Look at the vectors of many shards as one matrix, reading from disk what is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prompteol.corpus.shards import Storage
from prompteol.corpus.storage import CorpusFolder
from prompteol.corpus.streams import open_stream

_HELD = 16


class Vectors:
    """A matrix of shape (texts, width) that is read as it is indexed, as a memory map is.

    Integers, slices and arrays of integers or of booleans choose rows; ``numpy.asarray`` reads all.
    """

    def __init__(self, folder: CorpusFolder, shards: Sequence[tuple[str, int]], storage: Storage) -> None:
        self._folder = folder
        self._shards = [name for name, rows in shards if rows]
        self._storage = storage
        self._starts = [0]
        for rows in (rows for _, rows in shards if rows):
            self._starts.append(self._starts[-1] + rows)
        # One object a matrix: a cache on the method would keep every corpus alive.
        self._opened = lru_cache(_HELD)(self._open)

    @property
    def shape(self) -> tuple[int, int]:
        """Texts and numbers a text."""
        return self._starts[-1], self._storage.width

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the stored numbers."""
        return np.dtype(self._storage.dtype)

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        if isinstance(key, tuple):
            rows: NDArray[Any] = self[key[0]]
            # A single row has lost its first axis.
            return rows[key[1:]] if isinstance(key[0], (int, np.integer)) else rows[(slice(None), *key[1:])]
        if isinstance(key, slice):
            return self._gather(np.arange(*key.indices(len(self))))
        index = np.asarray(key)
        if index.dtype == bool:
            return self._gather(np.flatnonzero(index))
        if index.size and (index.min() < -len(self) or index.max() >= len(self)):
            raise IndexError(f"row {key} is outside a corpus of {len(self)}")
        found = self._gather(np.atleast_1d(index) % max(1, len(self)))
        return found[0] if index.ndim == 0 else found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[:].astype(dtype or self.dtype, copy=False)

    def blocks(self, rows: int) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield the first row and the vectors of each block of ``rows`` in order; the blocks end with their shards."""
        for start, end in zip(self._starts, self._starts[1:], strict=False):
            for first in range(start, end, rows):
                yield first, self[first : min(first + rows, end)]

    def _gather(self, index: NDArray[Any]) -> NDArray[Any]:
        out = np.empty((len(index), self._storage.width), dtype=self.dtype)
        places = np.searchsorted(self._starts, index, side="right") - 1
        for place in np.unique(places):
            chosen = places == place
            out[chosen] = self._opened(int(place))[index[chosen] - self._starts[place]]
        return out

    def _open(self, place: int) -> Any:
        path = self._folder.path(self._shards[place])
        if path.endswith(".parquet"):
            return _ParquetVectors(path)
        if self._folder.is_local:
            return np.load(path, mmap_mode="r")
        with open_stream(path) as stream:
            return np.load(stream)


class _ParquetVectors:
    """One shard of Parquet, of which the row groups that are asked for are read."""

    def __init__(self, path: str) -> None:
        import pyarrow.parquet as pq

        self._path = path
        self._starts = [0]
        with open_stream(path) as stream:
            metadata = pq.ParquetFile(stream).metadata
        for group in range(metadata.num_row_groups):
            self._starts.append(self._starts[-1] + metadata.row_group(group).num_rows)
        self._read = lru_cache(2)(self._group)

    def __getitem__(self, index: NDArray[Any]) -> NDArray[Any]:
        groups = np.searchsorted(self._starts, index, side="right") - 1
        places = [np.flatnonzero(groups == group) for group in np.unique(groups)]
        parts = [
            self._read(int(groups[chosen[0]]))[index[chosen] - self._starts[groups[chosen[0]]]] for chosen in places
        ]
        found: NDArray[Any] = np.concatenate(parts)[np.argsort(np.concatenate(places))]
        return found

    def _group(self, group: int) -> NDArray[Any]:
        import pyarrow.parquet as pq

        with open_stream(self._path) as stream:
            column = pq.ParquetFile(stream).read_row_group(group, columns=["embedding"]).column("embedding")
        read: NDArray[Any] = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return read.reshape(-1, column.type.list_size)
