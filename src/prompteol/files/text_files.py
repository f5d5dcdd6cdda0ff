"""Read the texts of several files, and look whether their vectors can be written, before any model loads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from prompteol.errors import CorpusError
from prompteol.files.atomic import refuse_overwrite
from prompteol.files.readers import Format, TextSource
from prompteol.files.vector_writers import writer_format


@dataclass(frozen=True)
class TextFiles:
    """Hold files whose texts were read once, so that a fault is found before a model loads.

    Args:
        sources: the files, in order.
        total: how many texts there are; ``None`` where one is a pipe, which cannot be read twice.
    """

    sources: Sequence[TextSource]
    total: int | None

    @classmethod
    def open(
        cls,
        files: Sequence[str | Path],
        *,
        column: str | None = None,
        format: Format | None = None,
        delimiter: str | None = None,
    ) -> TextFiles:
        """Read and count the texts of files.

        Raises:
            CorpusError: a file is not there or cannot be read; with the line.
            MissingExtraError: a parquet file, and no pyarrow.
        """
        columns = () if column is None else (column,)
        sources = [TextSource.open(str(file), format, columns, delimiter=delimiter) for file in files]
        counts = [source.count() for source in sources if source.rereadable]
        return cls(sources, sum(counts) if len(counts) == len(sources) else None)

    def texts(self) -> Iterator[str]:
        """Yield the texts of all files, in order."""
        return (text for source in self.sources for text in source.texts())


def check_vector_file(output: Path, files: TextFiles, *, force: bool = False) -> None:
    """Raise where vectors could not be written to a file, before any work is done.

    Raises:
        CorpusError: it exists, is read as well, its folder is not there, or its suffix names no format.
        MissingExtraError: a parquet file, and no pyarrow.
    """
    refuse_overwrite(output, force=force)
    writer_format(output)
    if any(output.resolve() == Path(source.name).resolve() for source in files.sources):
        raise CorpusError(f"{str(output)!r} is read and written at once; choose another output")
