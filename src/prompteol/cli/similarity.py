"""``prompteol similarity``: how close texts are, in pairs or all with all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from prompteol.cli import console
from prompteol.cli.options import (
    IMAGES,
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
from prompteol.cli.texts import typed_texts
from prompteol.errors import CorpusError
from prompteol.files import Format, TextRow, TextSource
from prompteol.plots.heatmap import draw_heatmap
from prompteol.plots.picture_file import check_picture

__all__ = ["similarity"]

# What a terminal of ordinary width still shows.
_WIDEST_TABLE = 12


def similarity(
    texts: Annotated[
        list[str],
        typer.Argument(metavar="TEXT", help="Two texts or more; or one file, - for standard input."),
    ],
    matrix: Annotated[
        bool, typer.Option("--matrix", help="Compare all with all, also where there are only two texts.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="IMAGE", help=f"Draw the matrix, to a {IMAGES}.")
    ] = None,
    model: ModelOption = None,
    template: TemplateOption = None,
    demonstration: DemonstrationOption = None,
    layer: LayerOption = None,
    column: ColumnOption = None,
    format: FormatOption = None,
    delimiter: DelimiterOption = None,
    batch_size: BatchSizeOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    force: ForceOption = False,
) -> None:
    """Compare texts: two give one number, three or more a matrix.

    A table with two columns of text gives a number a row; a .txt file, or one column of a table, a matrix.

    Into a pipe go values with tabs between them. The similarity is cosine, unless a saved model names another.
    """
    whole = matrix or plot is not None
    rows = _rows(texts, column or [], format, delimiter, whole=whole)
    setting: dict[str, Any] = {"template": template, "demonstrations": demonstration, "layer": layer, "device": device}
    check_model(model, **setting)
    if plot is not None:
        check_picture(plot, force=force)
    embedder = load_model(model, **setting, threads=threads)
    columns = [
        embedder.encode(list(one), batch_size=batch_size, show_progress_bar=False) for one in zip(*rows, strict=True)
    ]
    if len(columns) == 2:
        _show_pairs(rows, embedder.similarity_pairwise(*columns).tolist())
        return
    labels = [row[0] for row in rows]
    scores = embedder.similarity(*columns, *columns).tolist()
    _show_matrix(labels, scores)
    if plot is not None:
        draw_heatmap(plot, labels, scores, force=force)
        console.note(f"{plot}: {len(labels)} x {len(labels)} similarities")


def _rows(
    texts: list[str], columns: list[str], format: Format | None, delimiter: str | None, *, whole: bool
) -> list[TextRow]:
    """Give rows of two texts to compare in pairs, or rows of one text to compare all with all."""
    if len(texts) > 1:
        if columns or format or delimiter:
            raise CorpusError("--column, --format and --delimiter belong to one file, and here are several texts")
        texts = typed_texts(texts)
        return [(text,) for text in texts] if whole or len(texts) > 2 else [(texts[0], texts[1])]
    source = TextSource.open(texts[0], format, columns, width=1 if whole else 2, delimiter=delimiter)
    if source.format == "txt":
        source = replace(source, width=1)
    if source.width > 2 or (whole and source.width == 2):
        raise CorpusError(f"{len(columns)} columns: name one for a matrix, two for pairs")
    return list(source.rows())


def _show_pairs(rows: list[TextRow], scores: list[float]) -> None:
    if not console.is_terminal():
        console.rows((f"{score:.6f}", *row) for row, score in zip(rows, scores, strict=True))
        return
    table = Table("similarity", "text", "compared with")
    for (left, right), score in zip(rows, scores, strict=True):
        table.add_row(f"{score:.3f}", console.cell(left), console.cell(right))
    console.show(table)


def _show_matrix(labels: list[str], scores: list[list[float]]) -> None:
    if not console.is_terminal():
        console.rows([f"{score:.6f}" for score in row] for row in scores)
        return
    if len(labels) > _WIDEST_TABLE:
        console.note(f"{len(labels)} texts make too wide a table: add --plot heatmap.png, or pipe the numbers")
        return
    table = Table("", "text", *(str(number) for number in range(1, len(labels) + 1)))
    for number, (label, row) in enumerate(zip(labels, scores, strict=True), start=1):
        table.add_row(str(number), console.cell(label), *(f"{score:.3f}" for score in row))
    console.show(table)
