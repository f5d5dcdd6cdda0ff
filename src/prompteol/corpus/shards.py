"""Write one shard: Parquet with a fixed-size list column, or ``.npy`` with a sidecar of ids."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol

from prompteol.corpus.precision import Storage
from prompteol.corpus.rows import Row
from prompteol.extras import check_extra

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "ShardFormat",
    "ShardWriter",
    "check_format",
    "ids_name",
    "open_shard",
    "part_name",
    "shard_name",
    "write_ids",
]

ShardFormat = Literal["parquet", "npy"]


def shard_name(index: int, format: ShardFormat) -> str:
    """Return the file name of a shard."""
    return f"shard-{index:06d}.{format}"


def ids_name(index: int) -> str:
    """Return the file name of the sidecar of a ``.npy`` shard."""
    return f"shard-{index:06d}.ids.jsonl"


def part_name(index: int) -> str:
    """Return where what is known of a shard waits until the corpus is whole."""
    return f".parts/{index:06d}.json"


def check_format(format: str) -> None:
    """Raise :class:`MissingExtraError` where what writes this format is not installed."""
    if format == "parquet":
        check_extra("parquet", "pyarrow")


class ShardWriter(Protocol):
    """An open shard."""

    def write(self, rows: Sequence[Row], vectors: NDArray[Any]) -> None:
        """Append stored vectors (rows x width)."""

    def finish(self) -> None:
        """Write what stands at the end."""


class ParquetShard:
    """The columns ``row``, those kept, and ``embedding``; a row group a block of rows. The bytes hold no time."""

    def __init__(self, file: BinaryIO, storage: Storage, keep: Sequence[str], types: Sequence[str]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        names = {"string": pa.string(), "json": pa.string(), "int64": pa.int64(), "double": pa.float64()}
        kinds = {**names, "bool": pa.bool_()}
        item = pa.field("item", pa.type_for_alias(storage.dtype), nullable=False)
        kept = [pa.field(name, kinds[kind]) for name, kind in zip(keep, types, strict=True)]
        self._schema = pa.schema(
            [
                pa.field("row", pa.int64(), nullable=False),
                *kept,
                pa.field("embedding", pa.list_(item, storage.width), nullable=False),
            ]
        )
        self._parquet = pq.ParquetWriter(
            file, self._schema, compression={**dict.fromkeys(["row", *keep], "zstd"), "embedding.list.item": "none"},
            use_dictionary=False, version="2.6", data_page_version="1.0", write_statistics=["row"],
        )  # fmt: skip

    def write(self, rows: Sequence[Row], vectors: NDArray[Any]) -> None:
        """Append stored vectors (rows x width)."""
        import pyarrow as pa

        kept = zip(*(row.kept for row in rows), strict=True) if rows and rows[0].kept else ()
        fields = list(self._schema)
        embedding = fields[-1].type
        values = pa.array(vectors.ravel(), embedding.value_type)
        columns = [
            pa.array([row.place for row in rows], pa.int64()),
            *(pa.array(cells, field.type) for cells, field in zip(kept, fields[1:-1], strict=True)),
            pa.FixedSizeListArray.from_arrays(values, type=embedding),
        ]
        self._parquet.write_table(pa.Table.from_arrays(columns, schema=self._schema))

    def finish(self) -> None:
        """Write the footer."""
        self._parquet.close()


class NumpyShard:
    """One array, rows x width; its header is written again at the end, with the row count."""

    def __init__(self, file: BinaryIO, storage: Storage) -> None:
        import numpy as np

        self._file = file
        self._storage = storage
        self._dtype = np.dtype(storage.dtype).newbyteorder("<")
        self._rows = 0
        self._start = self._write_header()

    def write(self, rows: Sequence[Row], vectors: NDArray[Any]) -> None:
        """Append stored vectors (rows x width)."""
        self._rows += len(vectors)
        self._file.write(vectors.astype(self._dtype, copy=False).tobytes())

    def finish(self) -> None:
        """Write the header with the number of rows, for which numpy leaves room."""
        self._file.seek(0)
        if self._write_header() != self._start:
            raise OSError("the header of the .npy file outgrew its place")
        self._file.seek(0, 2)

    def _write_header(self) -> int:
        from numpy.lib.format import write_array_header_1_0

        shape = (self._rows, self._storage.width)
        write_array_header_1_0(self._file, {"shape": shape, "fortran_order": False, "descr": self._dtype.str})
        return self._file.tell()


def write_ids(file: BinaryIO, rows: Sequence[Row], keep: Sequence[str]) -> None:
    """Append the lines of a sidecar: the place of each row and what is kept of it."""
    for row in rows:
        record = {"row": row.place, **dict(zip(keep, row.kept, strict=True))}
        file.write((json.dumps(record, ensure_ascii=False) + "\n").encode())


@contextmanager
def open_shard(
    file: BinaryIO, format: ShardFormat, storage: Storage, keep: Sequence[str], types: Sequence[str]
) -> Iterator[ShardWriter]:
    """Begin a shard in a binary file, and finish it if the block ends well."""
    writer: ShardWriter = ParquetShard(file, storage, keep, types) if format == "parquet" else NumpyShard(file, storage)
    try:
        yield writer
    except BaseException:
        # Left open, Parquet would write its footer to a closed file when it is collected.
        with suppress(Exception):
            writer.finish()
        raise
    writer.finish()
