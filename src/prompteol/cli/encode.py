"""``prompteol encode``: files of texts to a file of vectors."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prompteol.cli import console
from prompteol.cli.options import (
    BatchSizeOption,
    ColumnOption,
    DelimiterOption,
    DemonstrationOption,
    DeviceOption,
    ForceOption,
    FormatOption,
    LayerOption,
    ModelOption,
    TemplateOption,
    ThreadsOption,
    check_model,
    load_model,
)
from prompteol.cli.progress import progress
from prompteol.embedder.long_texts import LongTextNotice
from prompteol.errors import CorpusError, NonFiniteError
from prompteol.files import (
    TextSource,
    VectorWriter,
    atomic_write,
    chunks,
    refuse_overwrite,
    vector_writer,
    writer_format,
)
from prompteol.progress import batches
from prompteol.prompts import PromptTask

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from prompteol import PromptEOL

__all__ = ["encode"]

# Enough texts to sort by length, few enough that the bar moves and memory stays small.
_TEXTS_PER_CHUNK = 512


def encode(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Texts; - reads standard input.")],
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", metavar="OUT", help="A .npy, .parquet or .jsonl file; - writes JSON lines to stdout."
        ),
    ],
    model: ModelOption = None,
    template: TemplateOption = None,
    demonstration: DemonstrationOption = None,
    layer: LayerOption = None,
    task: Annotated[
        PromptTask | None, typer.Option("--role", help="Use the prompt for queries or for documents.")
    ] = None,
    normalize: Annotated[bool, typer.Option("--normalize", help="Scale each vector to length 1.")] = False,
    column: ColumnOption = None,
    format: FormatOption = None,
    delimiter: DelimiterOption = None,
    batch_size: BatchSizeOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    force: ForceOption = False,
) -> None:
    """Turn texts into vectors, one row a text, in order.

    A .txt file holds one text a line; .csv, .tsv, .jsonl and .parquet are tables.

    The output appears under its name when it is whole, or not at all.
    """
    if column and len(column) > 1:
        raise CorpusError(f"--column: encode reads one column, not {len(column)}")
    sources = [TextSource.open(file, format, column or (), delimiter=delimiter) for file in files]
    total = _count(sources)
    setting: dict[str, Any] = {"template": template, "demonstrations": demonstration, "layer": layer, "device": device}
    check_model(model, **setting)
    destination = None if output == "-" else Path(output)
    if destination is not None:
        _check_destination(destination, files, force=force)

    embedder = load_model(model, **setting, threads=threads)
    notice = LongTextNotice()
    rows = 0
    texts = (text for source in sources for text in source.texts())
    with (
        _writer(destination, force=force) as writer,
        progress("encoding", total) as advance,
        batches(embedder, advance) as done,
    ):
        for chunk in chunks(texts, max(_TEXTS_PER_CHUNK, batch_size or 0)):
            notice.check(embedder, chunk)
            try:
                vectors = _vectors(embedder, chunk, task, batch_size=batch_size, normalize=normalize)
            except NonFiniteError as error:
                raise NonFiniteError(f"in the {len(chunk)} texts from row {rows} on: {error}") from error
            writer.write(chunk, vectors)
            rows += len(chunk)
            done(len(chunk))
    if destination is not None:
        console.note(f"{output}: {rows} vectors of {embedder.get_embedding_dimension()} dimensions, float32")


def _check_destination(destination: Path, files: list[str], *, force: bool) -> None:
    refuse_overwrite(destination, force=force)
    writer_format(destination)
    if any(destination.resolve() == Path(file).resolve() for file in files):
        raise CorpusError(f"{str(destination)!r} is read and written at once; choose another output")


def _count(sources: list[TextSource]) -> int | None:
    """Read what can be read twice, so that a fault is found before the model loads; ``None`` with a pipe."""
    counts = [source.count() for source in sources if source.rereadable]
    return sum(counts) if len(counts) == len(sources) else None


@contextmanager
def _writer(destination: Path | None, *, force: bool) -> Iterator[VectorWriter]:
    if destination is None:
        with console.stdout(), vector_writer(sys.stdout.buffer, "jsonl") as writer:
            yield writer
        return
    with (
        atomic_write(destination, force=force) as partial,
        partial.open("xb") as file,
        vector_writer(file, writer_format(destination)) as writer,
    ):
        yield writer


def _vectors(
    embedder: PromptEOL, texts: list[str], task: PromptTask | None, *, batch_size: int | None, normalize: bool
) -> NDArray[np.float32]:
    method = {None: "encode", "query": "encode_query", "document": "encode_document"}[task]
    vectors: NDArray[np.floating[Any]] = getattr(embedder, method)(
        texts, batch_size=batch_size, normalize_embeddings=normalize, show_progress_bar=False
    )
    # A model in fp16 gives fp16.
    return vectors.astype("float32", copy=False)
