"""Run ``prompteol encode``: embed files of texts into a file of vectors."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from prompteol.cli import console
from prompteol.cli.model_options import ModelOptions
from prompteol.cli.options import (
    BatchSizeOption,
    ColumnOption,
    DelimiterOption,
    ForceOption,
    FormatOption,
    ModelOption,
)
from prompteol.cli.progress import progress
from prompteol.errors import CorpusError
from prompteol.prompts import PromptTask

__all__ = ["encode"]


def encode(
    *,
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="The files of texts to embed; - reads standard input.")
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The .npy, .parquet or .jsonl file to write; - writes JSON lines to standard output.",
        ),
    ],
    model: ModelOption = None,
    options: ModelOptions,
    task: Annotated[
        PromptTask | None, typer.Option("--task", help="Use the prompt for queries or the one for documents.")
    ] = None,
    normalize: Annotated[bool, typer.Option("--normalize", help="Scale each vector to length 1.")] = False,
    batch_size: BatchSizeOption = None,
    column: ColumnOption = None,
    format: FormatOption = None,
    delimiter: DelimiterOption = None,
    force: ForceOption = False,
) -> None:
    """Turn texts into vectors, one row a text, in order.

    A .txt file holds one text a line; .csv, .tsv, .jsonl and .parquet files are tables.

    The output appears under its name when it is whole, or not at all.
    """
    if column and len(column) > 1:
        raise CorpusError(f"--column: encode reads one column, not {len(column)}")
    from prompteol.embedder.encode_files import TextFiles, check_vector_file, encode_files

    texts = TextFiles.open(files, column=column[0] if column else None, format=format, delimiter=delimiter)
    options.check(model)
    if output != "-":
        check_vector_file(Path(output), texts, force=force)
    embedder = options.load(model)
    with console.stdout() if output == "-" else nullcontext():
        encoded = encode_files(
            embedder,
            texts,
            sys.stdout.buffer if output == "-" else output,
            task=task,
            normalize_embeddings=normalize,
            batch_size=batch_size,
            force=force,
            progress=progress,
        )
    if output != "-":
        console.note(f"{output}: {encoded.rows} vectors of {encoded.dimension} dimensions, float32")
