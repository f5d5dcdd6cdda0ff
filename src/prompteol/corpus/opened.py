"""Open a finished corpus: ids, kept columns, and a matrix whose rows are read from disk when they are used."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prompteol.corpus.job import ERRORS
from prompteol.corpus.manifest import MANIFEST, CorpusManifest
from prompteol.corpus.records import open_stream
from prompteol.corpus.shards import Storage, ids_name
from prompteol.corpus.storage import CorpusFolder
from prompteol.errors import CorpusError, PromptEOLError

_HELD = 16


class Vectors:
    """Give a matrix of shape (texts, width) that is read from disk as it is indexed; ``numpy.asarray`` reads all."""

    def __init__(self, folder: CorpusFolder, shards: Sequence[tuple[str, int]], storage: Storage) -> None:
        self._folder = folder
        self._shards = [name for name, rows in shards if rows]
        self._storage = storage
        self._starts = [0]
        for rows in (rows for _, rows in shards if rows):
            self._starts.append(self._starts[-1] + rows)
        # One cache per matrix: a cache on the method would keep every corpus alive.
        self._opened = lru_cache(_HELD)(self._open)

    @property
    def shape(self) -> tuple[int, int]:
        """The number of texts, and of stored numbers per text."""
        return self._starts[-1], self._storage.width

    @property
    def dtype(self) -> np.dtype[Any]:
        """The data type of the stored numbers."""
        return np.dtype(self._storage.dtype)

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, key: Any) -> Any:
        """Index like a numpy array of this shape, and read only the rows that the answer needs."""
        # An empty tuple as index selects all rows.
        first, *rest = (key or (...,)) if isinstance(key, tuple) else (key,)
        if isinstance(first, slice):
            rows = self._gather(np.arange(*first.indices(len(self))))
            return rows[(slice(None), *rest)] if rest else rows
        if first is None or first is Ellipsis or isinstance(first, (bool, np.bool_)):
            return self[:][key]
        index, *others = self._indices(first)
        if not (others or rest):
            return self._gather(index.ravel()).reshape(*index.shape, self._storage.width)
        # Each row is read once, however many of its numbers are asked for.
        read, places = np.unique(index, return_inverse=True)
        return self._gather(read)[(places.reshape(index.shape), *others, *rest)]

    def _indices(self, given: Any) -> tuple[NDArray[np.intp], ...]:
        """Return integer indices within bounds; a mask becomes the integers that numpy takes it for."""
        index = np.asarray(given)
        if index.dtype == bool:
            if index.shape != self.shape[: index.ndim]:
                raise IndexError(f"a mask of shape {index.shape} is not that of a corpus of {self.shape}")
            return index.nonzero()
        if not index.size and not isinstance(given, np.ndarray):
            index = index.astype(np.intp)
        if index.dtype.kind not in "iu":
            raise IndexError(f"{given!r:.60} is no index of a corpus; give integers, slices or masks")
        if index.size and (index.min() < -len(self) or index.max() >= len(self)):
            raise IndexError(f"row {given!r:.60} is outside a corpus of {len(self)}")
        return (index.astype(np.intp) % max(1, len(self)),)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("vectors are read from disk, which makes a copy; leave copy=False out")
        whole: NDArray[Any] = self[:].astype(dtype or self.dtype, copy=False)
        return whole

    def blocks(self, rows: int) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield the first row and the vectors of each block of up to ``rows`` rows; no block crosses a shard."""
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
        with _damage(path):
            if self._folder.is_local:
                return np.load(path, mmap_mode="r")
            with open_stream(path) as stream:
                return np.load(stream)


@contextmanager
def _damage(path: str) -> Iterator[None]:
    """Turn a failure to read a shard in the block into a :class:`CorpusError`."""
    try:
        yield
    except PromptEOLError:
        raise
    # Arrow's errors and those of JSON are among them.
    except (OSError, ValueError, EOFError, LookupError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise CorpusError(f"{path!r} is damaged or gone ({said:.200}): remove its folder and embed it again") from error


class _ParquetVectors:
    """Read the vectors of one Parquet shard, and only the row groups that are asked for."""

    def __init__(self, path: str) -> None:
        import pyarrow.parquet as pq

        self._path = path
        self._starts = [0]
        with _damage(path), open_stream(path) as stream:
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

        with _damage(self._path), open_stream(self._path) as stream:
            column = pq.ParquetFile(stream).read_row_group(group, columns=["embedding"]).column("embedding")
        read: NDArray[Any] = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return read.reshape(-1, column.type.list_size)


class Corpus:
    """Read a finished corpus, as :func:`open_corpus` opens it."""

    def __init__(self, folder: CorpusFolder, manifest: CorpusManifest) -> None:
        self._folder = folder
        self._manifest = manifest
        self._shards = [(str(shard["file"]), int(shard["rows"])) for shard in manifest.record["shards"]]
        #: Vectors as they are stored, (texts, width), read as they are indexed.
        self.vectors = Vectors(folder, self._shards, manifest.storage)

    def __len__(self) -> int:
        return len(self.vectors)

    def __repr__(self) -> str:
        record = self.manifest
        return f"Corpus({self._folder.location!r}: {len(self)} x {record['dimension']}, {record['precision']})"

    @property
    def manifest(self) -> dict[str, Any]:
        """The content of ``manifest.json``."""
        return dict(self._manifest.record)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns besides the vectors: ``row``, the place in the input, and the kept ones."""
        return ("row", *self._manifest.keep)

    @property
    def ids(self) -> Sequence[Any]:
        """The kept column ``id`` where there is one, else the place of each text in the input, counted from 0."""
        return self.column("id" if "id" in self.columns else "row")

    @property
    def errors(self) -> list[dict[str, Any]]:
        """The rows that were left out, as ``errors.jsonl`` lists them."""
        if not self._manifest.record["errors"]:
            return []
        return [json.loads(line) for line in self._folder.read(ERRORS).splitlines()]

    def column(self, name: str) -> list[Any]:
        """Read a whole column."""
        return [value for values in self._column(name) for value in values]

    def rows(self, places: Sequence[int]) -> list[dict[str, Any]]:
        """Read the columns besides the vectors for some texts, by their places in :attr:`vectors`."""
        found: dict[int, dict[str, Any]] = {int(place): {} for place in sorted({*map(int, places)})}
        for column in self.columns:
            values, first = self._column(column), 0
            block: list[Any] = []
            for place, row in found.items():
                while place >= first + len(block):
                    first, block = first + len(block), next(values)
                row[column] = block[place - first]
        return [found[int(place)] for place in places]

    def restored(self, rows: int = 65_536) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield for each block its first place and its vectors in float32, of shape (texts, dimension)."""
        for first, block in self.vectors.blocks(rows):
            yield first, self._manifest.storage.restore(block)

    def _column(self, name: str) -> Iterator[list[Any]]:
        if name not in self.columns:
            raise CorpusError(f"{self._folder.location!r} has no column {name!r}; it kept {', '.join(self.columns)}")
        is_json = self._manifest.keep.get(name) == "json"
        for index, (file, rows) in enumerate(self._shards):
            if not rows:
                continue
            read = 0
            for values in self._shard_column(index, file, name):
                read += len(values)
                if is_json:
                    with _damage(self._folder.path(file)):
                        values = [value and json.loads(value) for value in values]
                yield values
            if read != rows:
                with _damage(self._folder.path(file)):
                    raise EOFError(f"{read} rows beside {rows} vectors")

    def _shard_column(self, index: int, file: str, name: str) -> Iterator[list[Any]]:
        if file.endswith(".parquet"):
            import pyarrow.parquet as pq

            path = self._folder.path(file)
            with _damage(path), open_stream(path) as stream:
                for batch in pq.ParquetFile(stream).iter_batches(columns=[name]):
                    yield batch.column(0).to_pylist()
            return
        path = self._folder.path(ids_name(index))
        with _damage(path), open_stream(path) as stream:
            yield [json.loads(line)[name] for line in stream]


def open_corpus(location: str | os.PathLike[str]) -> Corpus:
    """Open what :func:`prompteol.embed_corpus` wrote; raise :class:`CorpusError` where it is not finished."""
    folder = CorpusFolder(location)
    manifest = CorpusManifest.read(folder)
    if manifest is None:
        raise CorpusError(f"{folder.location!r} holds no {MANIFEST}; give a folder that embed_corpus wrote")
    if not manifest.is_complete:
        raise CorpusError(f"{folder.location!r} is not finished; run the command that began it again")
    return Corpus(folder, manifest)
