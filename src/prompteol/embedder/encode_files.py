"""Embed the texts of files, chunk by chunk, into one file of vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from prompteol.embedder.long_texts import LongTextNotice
from prompteol.errors import NonFiniteError
from prompteol.files import (
    Format,
    TextFiles,
    VectorWriter,
    atomic_write,
    check_vector_file,
    chunks,
    vector_writer,
    writer_format,
)
from prompteol.progress import Progress, batches, no_progress
from prompteol.prompts import PromptTask

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from prompteol.sentence_transformers import PromptEOL

# Enough texts to sort by length, but few enough that the bar moves and memory stays small.
_TEXTS_PER_CHUNK = 512


@dataclass(frozen=True)
class EncodedFiles:
    """Sum up what was written: ``rows`` vectors of ``dimension`` float32 numbers each."""

    rows: int
    dimension: int


def encode_files(
    model: PromptEOL,
    files: TextFiles | str | Path | Sequence[str | Path],
    output: str | Path | BinaryIO,
    *,
    task: PromptTask | None = None,
    normalize_embeddings: bool = False,
    truncate_dim: int | None = None,
    batch_size: int | None = None,
    column: str | None = None,
    format: Format | None = None,
    delimiter: str | None = None,
    force: bool = False,
    progress: Progress = no_progress,
) -> EncodedFiles:
    """Embed the texts of files into one file of vectors, one row per text, in order.

    Texts are read and embedded in chunks, so that a file may be larger than memory. The output appears under its name
    when it is whole, or not at all.

    Args:
        model: the model that embeds the texts.
        files: ``.txt`` with one text per line, or a table: ``.csv``, ``.tsv``, ``.jsonl`` or ``.parquet``; ``"-"`` is
            standard input. Or files that :meth:`TextFiles.open` has read; ``column``, ``format`` and ``delimiter``
            are then of no effect.
        output: a ``.npy``, ``.parquet`` or ``.jsonl`` file; or an open binary file, which gets JSON lines.
        task: ``"query"`` or ``"document"`` takes the template of that task.
        normalize_embeddings: scale each vector to length 1, after any cut.
        truncate_dim: keep this many leading dimensions; ``None`` keeps what the model gives.
        batch_size: texts that the model gets at once; ``None`` is what runs fastest.
        column: the column of a table; ``None`` takes ``text``, ``sentence`` or the only one.
        format: the format of the files; ``None`` takes it from their suffixes.
        delimiter: what separates the fields of ``.csv`` and ``.tsv``; ``None`` takes the one that the header holds.
        force: replace the output if it exists.
        progress: is called with the number of embedded texts.

    Raises:
        CorpusError: a file cannot be read or written; the message names the line.
        NonFiniteError: a vector is not finite; the message names the rows.
        MissingExtraError: a Parquet file is given, but pyarrow is not installed.
    """
    if not isinstance(files, TextFiles):
        names = [files] if isinstance(files, (str, Path)) else files
        files = TextFiles.open(names, column=column, format=format, delimiter=delimiter)
    if isinstance(output, (str, Path)):
        check_vector_file(Path(output), files, force=force)
    notice = LongTextNotice()
    rows = dimension = 0
    with (
        _writer(output, force=force) as writer,
        progress("encoding", files.total) as advance,
        batches(model, advance) as done,
    ):
        for chunk in chunks(files.texts(), max(_TEXTS_PER_CHUNK, batch_size or 0)):
            notice.check(model, chunk)
            try:
                vectors = task_vectors(
                    model, chunk, task, batch_size=batch_size, normalize_embeddings=normalize_embeddings,
                    truncate_dim=truncate_dim,
                )  # fmt: skip
            except NonFiniteError as error:
                raise NonFiniteError(f"in the {len(chunk)} texts from row {rows} on: {error}") from error
            writer.write(chunk, vectors)
            rows, dimension = rows + len(chunk), vectors.shape[1]
            done(len(chunk))
    return EncodedFiles(rows, dimension)


@contextmanager
def _writer(output: str | Path | BinaryIO, *, force: bool) -> Iterator[VectorWriter]:
    if not isinstance(output, (str, Path)):
        with vector_writer(output, "jsonl") as writer:
            yield writer
        return
    path = Path(output)
    with (
        atomic_write(path, force=force) as partial,
        partial.open("wb") as file,
        vector_writer(file, writer_format(path)) as writer,
    ):
        yield writer


def task_vectors(
    model: SentenceTransformer, texts: list[str], task: PromptTask | None, **options: Any
) -> NDArray[np.float32]:
    """Embed texts with the prompt of a task; return (texts, dimension) in float32, of a model in fp16 too."""
    method = {None: "encode", "query": "encode_query", "document": "encode_document"}[task]
    vectors: NDArray[np.floating[Any]] = getattr(model, method)(texts, show_progress_bar=False, **options)
    return vectors.astype("float32", copy=False)
