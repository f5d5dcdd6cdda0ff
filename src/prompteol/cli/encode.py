"""``prompteol encode``: files of texts to a file of vectors."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prompteol.cli import console
from prompteol.cli.encode_folder import FolderOptions, encode_folder, is_folder
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
# As people write them, and as torch does.
_DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


def encode(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Texts; - reads standard input.")],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="A .npy, .parquet or .jsonl file; - writes JSON lines to stdout; OUT/ is a folder of shards, which a "
            "second run goes on with.",
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
    dtype: Annotated[
        str | None,
        typer.Option("--dtype", metavar="DTYPE", help="Compute in fp32, fp16 or bf16.", show_default="the model's"),
    ] = None,
    truncate_dim: Annotated[
        int | None,
        typer.Option("--truncate-dim", metavar="N", min=1, help="Keep the first N dimensions.", show_default="all"),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option("--keep", metavar="NAME", help="A column to write beside the vectors; may be repeated. For OUT/."),
    ] = None,
    shard_format: Annotated[
        str | None,
        typer.Option("--shard-format", metavar="FORM", help="parquet or npy. For OUT/.", show_default="parquet"),
    ] = None,
    shard_rows: Annotated[
        int | None,
        typer.Option("--shard-rows", metavar="N", min=1, help="Rows a shard. For OUT/.", show_default="100000"),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision",
            metavar="PRECISION",
            help="Store vectors in float32, float16, int8 or ubinary. For OUT/.",
            show_default="float32",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            min=1,
            help="Processes that share the shards. For OUT/.",
            show_default="one a device",
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            metavar="[ADDRESS]",
            help="Share the shards on a Ray cluster: the one at an address, else the one that is there, else a local "
            "one. For OUT/.",
        ),
    ] = None,
    on_error: Annotated[
        str | None,
        typer.Option(
            "--on-error",
            metavar="WAY",
            help="stop at a row at fault, or skip it and list it in errors.jsonl. For OUT/.",
            show_default="stop",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Go on with a folder that was begun. For OUT/.")
    ] = True,
    metrics_json: Annotated[
        Path | None,
        typer.Option("--metrics-json", metavar="FILE", help="Write counts and rates to a file. For OUT/."),
    ] = None,
) -> None:
    """Turn texts into vectors, one row a text, in order.

    A .txt file holds one text a line; .csv, .tsv, .jsonl and .parquet are tables.

    A file appears under its name when it is whole, or not at all. A folder of shards takes any amount of text: files,
    globs, folders, compressed or not, URLs, and data sets of the Hub as OWNER/NAME.
    """
    if column and len(column) > 1:
        raise CorpusError(f"--column: encode reads one column, not {len(column)}")
    dtype = _DTYPES.get(dtype or "", dtype)
    given = FolderOptions(
        tuple(keep or ()), shard_format, shard_rows, precision, workers, ray, on_error, resume, metrics_json
    )
    if is_folder(output):
        if force:
            raise CorpusError(f"--force is for files; {output!r} is gone on with, or remove it first")
        settings = {"normalize": normalize, "truncate_dim": truncate_dim, "task": task, "batch_size": batch_size}
        encode_folder(
            files,
            output,
            given,
            model,
            prompt={"template": template, "demonstrations": demonstration, "layer": layer},
            dtype=dtype,
            device=device,
            settings={**settings, "threads": threads, "column": column[0] if column else None},
            reading={"format": format, "delimiter": delimiter},
        )
        return
    given.refuse(output)
    sources = [TextSource.open(file, format, column or (), delimiter=delimiter) for file in files]
    total = _count(sources)
    setting: dict[str, Any] = {"template": template, "demonstrations": demonstration, "layer": layer, "device": device}
    check_model(model, **setting)
    destination = None if output == "-" else Path(output)
    if destination is not None:
        _check_destination(destination, files, force=force)

    embedder = load_model(model, **setting, dtype=dtype, threads=threads)
    from prompteol.embedder.long_texts import LongTextNotice

    notice = LongTextNotice()
    rows = dimension = 0
    texts = (text for source in sources for text in source.texts())
    with (
        _writer(destination, force=force) as writer,
        progress("encoding", total) as advance,
        batches(embedder, advance) as done,
    ):
        for chunk in chunks(texts, max(_TEXTS_PER_CHUNK, batch_size or 0)):
            notice.check(embedder, chunk)
            try:
                vectors = _vectors(
                    embedder, chunk, task, batch_size=batch_size, normalize=normalize, truncate_dim=truncate_dim
                )
            except NonFiniteError as error:
                raise NonFiniteError(f"in the {len(chunk)} texts from row {rows} on: {error}") from error
            writer.write(chunk, vectors)
            dimension = vectors.shape[1]
            rows += len(chunk)
            done(len(chunk))
    if destination is not None:
        console.note(f"{output}: {rows} vectors of {dimension} dimensions, float32")


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
        partial.open("wb") as file,
        vector_writer(file, writer_format(destination)) as writer,
    ):
        yield writer


def _vectors(
    embedder: PromptEOL,
    texts: list[str],
    task: PromptTask | None,
    *,
    batch_size: int | None,
    normalize: bool,
    truncate_dim: int | None,
) -> NDArray[np.float32]:
    method = {None: "encode", "query": "encode_query", "document": "encode_document"}[task]
    vectors: NDArray[np.floating[Any]] = getattr(embedder, method)(
        texts, batch_size=batch_size, normalize_embeddings=normalize, truncate_dim=truncate_dim, show_progress_bar=False
    )
    # A model in fp16 gives fp16.
    return vectors.astype("float32", copy=False)
