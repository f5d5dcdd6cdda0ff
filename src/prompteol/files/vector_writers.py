"""Vectors to a file, chunk by chunk: numpy, parquet or JSON lines, float32 in each."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, get_args

from prompteol.errors import CorpusError
from prompteol.extras import check_extra

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["VectorWriter", "WriterFormat", "vector_writer", "writer_format"]

WriterFormat = Literal["npy", "parquet", "jsonl"]


class VectorWriter(AbstractContextManager["VectorWriter"]):
    """Write texts and their vectors to an open binary file; what is written is whole once the block ends."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Append ``vectors`` (texts x dimension)."""
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._finish()
        else:
            self._abandon()

    def _finish(self) -> None:
        self._file.flush()

    def _abandon(self) -> None:
        """Let go of what is half written; the file is thrown away by whoever opened it."""


class JsonLinesWriter(VectorWriter):
    """One object a line, ``{"text": ..., "embedding": [...]}``; flushed with every chunk, for a pipe."""

    def write(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Append ``vectors`` (texts x dimension)."""
        for text, vector in zip(texts, vectors, strict=True):
            # str() of a float32 is the shortest decimal that reads back as the same float32.
            numbers = ", ".join(map(str, vector))
            line = f'{{"text": {json.dumps(text, ensure_ascii=False)}, "embedding": [{numbers}]}}\n'
            self._file.write(line.encode())
        self._file.flush()


class NumpyWriter(VectorWriter):
    """One ``.npy`` array, rows x dimension; its header is written again at the end, with the row count."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self._shape = (0, 0)
        self._header_size = 0

    def write(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Append ``vectors`` (texts x dimension)."""
        rows, dimension = vectors.shape
        self._shape = (self._shape[0] + rows, dimension)
        if not self._header_size:
            self._header_size = self._write_header()
        self._file.write(vectors.astype("<f4", copy=False).tobytes())

    def _write_header(self) -> int:
        from numpy.lib.format import write_array_header_1_0

        header = {"shape": self._shape, "fortran_order": False, "descr": "<f4"}
        write_array_header_1_0(self._file, header)
        return self._file.tell()

    def _finish(self) -> None:
        self._file.seek(0)
        # numpy pads the header so that the first dimension may grow in place.
        if self._write_header() != self._header_size:
            raise CorpusError("the .npy header outgrew its place; write .parquet instead")
        super()._finish()


class ParquetWriter(VectorWriter):
    """A table with the columns ``text`` and ``embedding``, a row group a chunk."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self._parquet: Any = None

    def write(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Append ``vectors`` (texts x dimension)."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        values = pa.array(vectors.astype("float32", copy=False).ravel())
        embedding = pa.FixedSizeListArray.from_arrays(values, vectors.shape[1])
        table = pa.table({"text": pa.array(texts, pa.string()), "embedding": embedding})
        self._parquet = self._parquet or pq.ParquetWriter(self._file, table.schema)
        self._parquet.write_table(table)

    def _finish(self) -> None:
        if self._parquet is not None:
            self._parquet.close()
        super()._finish()

    def _abandon(self) -> None:
        if self._parquet is not None:
            # Left open, it would write its footer to a closed file when it is collected.
            with suppress(OSError):
                self._parquet.close()


_WRITERS: dict[WriterFormat, Callable[[BinaryIO], VectorWriter]] = {
    "npy": NumpyWriter,
    "parquet": ParquetWriter,
    "jsonl": JsonLinesWriter,
}


def writer_format(path: Path) -> WriterFormat:
    """Tell the format from the suffix, and check that what it needs is installed."""
    suffix = path.suffix.lstrip(".").lower()
    formats: dict[str, WriterFormat] = {known: known for known in get_args(WriterFormat)}
    if suffix not in formats:
        raise CorpusError(f"output {str(path)!r}: expected a name that ends in .npy, .parquet or .jsonl")
    if suffix == "parquet":
        check_extra("parquet", "pyarrow")
    return formats[suffix]


def vector_writer(file: BinaryIO, format: WriterFormat) -> VectorWriter:
    """Make the writer of a format over a binary file; ``npy`` needs one that can seek."""
    return _WRITERS[format](file)
