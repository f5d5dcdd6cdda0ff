"""Write vectors to a file, chunk by chunk, as numpy, parquet or JSON lines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from prompteol.errors import CorpusError
from prompteol.extras import check_extra

if TYPE_CHECKING:
    from typing import Self

    import numpy as np
    from numpy.typing import NDArray


class VectorWriter:
    """Write texts and their vectors to an open binary file, which is whole when the block ends."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Append ``vectors`` (texts x dimension)."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # Where the block failed the caller deletes the file; left open, a writer would write to it when collected.
        with nullcontext() if kind is None else suppress(OSError, CorpusError):
            self._finish()
            self._file.flush()

    def _finish(self) -> None:
        """Write what comes last."""


class JsonLinesWriter(VectorWriter):
    """Write one object a line, ``{"text": ..., "embedding": [...]}``, and flush every chunk for pipes."""

    def write(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Append ``vectors`` (texts x dimension)."""
        for text, vector in zip(texts, vectors, strict=True):
            # str() of a float32 is the shortest decimal that reads back as the same float32.
            numbers = ", ".join(map(str, vector))
            line = f'{{"text": {json.dumps(text, ensure_ascii=False)}, "embedding": [{numbers}]}}\n'
            self._file.write(line.encode())
        self._file.flush()


class NumpyWriter(VectorWriter):
    """Write one ``.npy`` array, rows x dimension, whose header gets the number of rows at the end."""

    _shape = (0, 0)
    _dtype = "<f4"
    _header_size = 0

    def write(self, texts: Sequence[str], vectors: NDArray[Any]) -> None:
        """Append ``vectors`` (texts x dimension), all of one type."""
        rows, dimension = vectors.shape
        self._shape = (self._shape[0] + rows, dimension)
        self._dtype = vectors.dtype.newbyteorder("<").str
        if not self._header_size:
            self._header_size = self._write_header()
        self._file.write(vectors.astype(self._dtype, copy=False).tobytes())

    def _write_header(self) -> int:
        from numpy.lib.format import write_array_header_1_0

        header = {"shape": self._shape, "fortran_order": False, "descr": self._dtype}
        write_array_header_1_0(self._file, header)
        return self._file.tell()

    def _finish(self) -> None:
        self._file.seek(0)
        # numpy pads the header so that the first dimension may grow in place.
        if self._write_header() != self._header_size:
            raise CorpusError("the .npy header outgrew its place; write .parquet instead")


class ParquetWriter(VectorWriter):
    """Write a table with the columns ``text`` and ``embedding``, one row group for each chunk."""

    _parquet: Any = None

    def write(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Append ``vectors`` (texts x dimension)."""
        import pyarrow as pa

        self.write_columns({"text": pa.array(texts, pa.string())}, vectors)

    def write_columns(self, columns: Mapping[str, Any], vectors: NDArray[Any]) -> None:
        """Append ``vectors`` (rows x dimension) of any type beside columns of Arrow."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        embedding = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
        table = pa.table({**columns, "embedding": embedding})
        # Vectors hold no repetition that could be compressed.
        codecs = {**dict.fromkeys(columns, "zstd"), "embedding.list.element": "none"}
        self._parquet = self._parquet or pq.ParquetWriter(
            self._file, table.schema, compression=codecs, use_dictionary=False
        )
        self._parquet.write_table(table)

    def _finish(self) -> None:
        if self._parquet is not None:
            self._parquet.close()


_WRITERS: dict[str, type[VectorWriter]] = {"npy": NumpyWriter, "parquet": ParquetWriter, "jsonl": JsonLinesWriter}


def writer_format(path: Path) -> str:
    """Return the format that a suffix names, and check that its packages are installed."""
    suffix = path.suffix.lstrip(".").lower()
    if suffix not in _WRITERS:
        raise CorpusError(f"output {str(path)!r}: expected a name that ends in .npy, .parquet or .jsonl")
    if suffix == "parquet":
        check_extra("parquet", "pyarrow")
    return suffix


def vector_writer(file: BinaryIO, format: str) -> VectorWriter:
    """Return the writer of a format on a binary file; ``npy`` needs a file that can seek."""
    return _WRITERS[format](file)
