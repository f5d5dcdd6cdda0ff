"""Run ``prompteol encode``: embed texts into a file of vectors, or any amount of text into a folder of shards."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from prompteol.cli import console
from prompteol.cli import options as shared
from prompteol.cli.encode_folder import FolderOptions, encode_folder
from prompteol.cli.model_options import ModelOptions
from prompteol.cli.progress import progress
from prompteol.errors import CorpusError
from prompteol.files import TextFiles, check_vector_file


def encode(
    *,
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="The files of texts to embed; - reads standard input. For a folder of shards also globs, folders, "
            "URLs, and data sets of the Hub as OWNER/NAME.",
        ),
    ],
    output: Annotated[
        str,
        shared.option(
            "--output -o OUTPUT",
            "The .npy, .parquet or .jsonl file to write; - writes JSON lines to standard output. A folder OUT/ or URL "
            "gets shards.",
        ),
    ],
    model: shared.ModelOption = None,
    options: ModelOptions,
    task: shared.TaskOption = None,
    normalize: shared.NormalizeOption = False,
    truncate_dim: Annotated[
        int | None, shared.option("--truncate-dim N [all of them]", "Keep the first N dimensions.", min=1)
    ] = None,
    batch_size: shared.BatchSizeOption = None,
    column: shared.ColumnOption = None,
    format: shared.FormatOption = None,
    delimiter: shared.DelimiterOption = None,
    force: shared.ForceOption = False,
    folder: FolderOptions,
) -> None:
    """Turn texts into vectors, one row per text, in order.

    A .txt file holds one text per line; .csv, .tsv, .jsonl and .parquet files are tables. Each may be .gz, .xz or .zst.

    A file appears under its name only when it is whole. A folder of shards takes any amount of text, and the
    same command goes on with a folder that was begun.
    """
    if column and len(column) > 1:
        raise CorpusError(f"--column: encode reads one column, not {len(column)}")
    chosen = column[0] if column else None
    if output.endswith(("/", os.sep)) or "://" in output or os.path.isdir(output):
        if force:
            raise CorpusError(f"--force is for files; remove {output!r} first, or leave it out to go on with it")
        encode_folder(
            files, output, model, options, folder, format=format, delimiter=delimiter, column=chosen, task=task,
            normalize=normalize, truncate_dim=truncate_dim, batch_size=batch_size,
        )  # fmt: skip
        return
    folder.refuse(output)
    texts = TextFiles.open(files, column=chosen, format=format, delimiter=delimiter)
    options.check(model)
    if output != "-":
        check_vector_file(Path(output), texts, force=force)
    from prompteol.embedder.encode_files import encode_files

    embedder = options.load(model)
    with console.stdout() if output == "-" else nullcontext():
        encoded = encode_files(
            embedder,
            texts,
            sys.stdout.buffer if output == "-" else output,
            task=task,
            normalize_embeddings=normalize,
            truncate_dim=truncate_dim,
            batch_size=batch_size,
            force=force,
            progress=progress,
        )
    if output != "-":
        console.note(f"{output}: {console.counted(encoded.rows, 'vector')} of {encoded.dimension} dimensions, float32")
