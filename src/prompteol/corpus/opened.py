"""Open a finished corpus: ids, kept columns, and a matrix that is read as it is used."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prompteol.corpus.job import ERRORS
from prompteol.corpus.manifest import MANIFEST, CorpusManifest
from prompteol.corpus.shards import ids_name
from prompteol.corpus.storage import CorpusFolder
from prompteol.corpus.streams import open_stream
from prompteol.corpus.vectors import Vectors
from prompteol.errors import CorpusError


class Corpus:
    """A finished corpus.

    Args:
        folder: that holds it.
        manifest: of it.
    """

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
        """What ``manifest.json`` holds."""
        return dict(self._manifest.record)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns beside the vectors: ``row``, the place in the input, and those kept."""
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
        """Read the columns beside the vectors for some of the texts, by their places in :attr:`vectors`."""
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
        """Yield the first place and the vectors in float32, (texts, dimension), of block after block."""
        for first, block in self.vectors.blocks(rows):
            yield first, self._manifest.storage.restore(block)

    def _column(self, name: str) -> Iterator[list[Any]]:
        if name not in self.columns:
            raise CorpusError(f"{self._folder.location!r} has no column {name!r}; it kept {', '.join(self.columns)}")
        for index, (file, rows) in enumerate(self._shards):
            if rows:
                yield from self._shard_column(index, file, name)

    def _shard_column(self, index: int, file: str, name: str) -> Iterator[list[Any]]:
        if file.endswith(".parquet"):
            import pyarrow.parquet as pq

            with open_stream(self._folder.path(file)) as stream:
                for batch in pq.ParquetFile(stream).iter_batches(columns=[name]):
                    yield batch.column(0).to_pylist()
            return
        with open_stream(self._folder.path(ids_name(index))) as stream:
            yield [json.loads(line)[name] for line in stream]


def open_corpus(location: str | os.PathLike[str]) -> Corpus:
    """Open what :func:`prompteol.embed_corpus` wrote.

    Raises:
        CorpusError: there is no corpus, or it is not finished.
    """
    folder = CorpusFolder(location)
    manifest = CorpusManifest.read(folder)
    if manifest is None:
        raise CorpusError(f"{folder.location!r} holds no {MANIFEST}; give a folder that embed_corpus wrote")
    if not manifest.is_complete:
        raise CorpusError(f"{folder.location!r} is not finished; run the command that began it again")
    return Corpus(folder, manifest)
