"""Run ``prompteol words`` and ``prompteol similarity``: look at a few texts."""

import os
from dataclasses import replace
from typing import Annotated, Any

import typer
from rich.bar import Bar
from rich.table import Table

from prompteol.cli import console
from prompteol.cli import options as shared
from prompteol.cli.model_options import ModelOptions
from prompteol.cli.options import option
from prompteol.errors import CorpusError
from prompteol.files import Format, TextRow, TextSource
from prompteol.plots.picture import check_picture, plot_similarity

# The number of texts whose matrix fits the usual width of a terminal.
_WIDEST_TABLE = 12


def words(
    *,
    texts: Annotated[
        list[str],
        typer.Argument(metavar="TEXT...", help="The texts to find words for; a lone - reads lines from a pipe."),
    ],
    k: Annotated[int, option("-k N", "The number of words for each text.", min=1)] = 5,
    no_contrast: Annotated[
        bool, option("--no-contrast", "Rank by probability alone: the likeliest next tokens, as they are.")
    ] = False,
    model: shared.ModelOption = None,
    options: ModelOptions,
) -> None:
    """Show the words that a text makes likelier as the next ones, with their probabilities.

    A pipe gets one line per word: text, word, probability, with tabs between them.
    """
    texts = _typed(texts)
    options.check(model)
    found = options.load(model).words(texts, k=k, contrast=not no_contrast)
    if not console.is_terminal():
        pairs = [(text, word) for text, row in zip(texts, found, strict=True) for word in row]
        console.rows((text, word.text, f"{word.probability:.6f}") for text, word in pairs)
        return
    table = Table("text", "word", "probability", "")
    longest = max((word.probability for row in found for word in row), default=1.0)
    for text, row in zip(texts, found, strict=True):
        for rank, word in enumerate(row):
            bar = Bar(size=longest, begin=0, end=word.probability, width=30)
            shown = (console.cell("" if rank else text), console.cell(word.text), f"{word.probability:.3f}", bar)
            table.add_row(*shown, end_section=rank == len(row) - 1)
    console.show(table)


def similarity(
    *,
    texts: Annotated[
        list[str],
        typer.Argument(metavar="TEXT...", help="The texts to compare, two or more; or a file of texts, - for a pipe."),
    ],
    matrix: Annotated[bool, option("--matrix", "Print a matrix of all texts against all, even for two texts.")] = False,
    plot: shared.PlotOption = None,
    model: shared.ModelOption = None,
    options: ModelOptions,
    batch_size: shared.BatchSizeOption = None,
    column: shared.ColumnOption = None,
    format: shared.FormatOption = None,
    delimiter: shared.DelimiterOption = None,
    force: shared.ForceOption = False,
) -> None:
    """Compare texts: two give one number, three or more a matrix.

    A table with two columns of text gives one number per row; a .txt file, or one column of a table, gives a matrix.

    A pipe gets values with tabs between them. The similarity is cosine, unless a saved model names another.
    """
    whole = matrix or plot is not None
    rows = _rows(texts, column or [], format, delimiter, whole=whole)
    options.check(model)
    check_picture(plot, force=force)
    embedder = options.load(model)
    arguments: dict[str, Any] = {"batch_size": batch_size, "show_progress_bar": False}
    columns = [embedder.encode(list(one), **arguments) for one in zip(*rows, strict=True)]
    if len(columns) == 2:
        _show_pairs(rows, embedder.similarity_pairwise(*columns).tolist())
        return
    labels = [row[0] for row in rows]
    scores = embedder.similarity(*columns, *columns).tolist()
    _show_matrix(labels, scores)
    if plot is not None:
        plot_similarity(labels, scores, plot, force=force)
        console.note(f"{plot}: {len(labels)} x {len(labels)} similarities")


def _typed(arguments: list[str]) -> list[str]:
    """Return the arguments as texts, a lone ``-`` as the lines of standard input; warn of one that names a file."""
    if arguments == ["-"]:
        return list(TextSource.open("-").texts())
    for argument in arguments:
        # Path.is_file() would raise where a text is too long for a file name.
        if os.path.isfile(argument):
            console.warning(f"{argument!r} is embedded as a text; the file of that name is not read")
    return arguments


def _rows(
    texts: list[str], columns: list[str], format: Format | None, delimiter: str | None, *, whole: bool
) -> list[TextRow]:
    """Return rows of two texts to compare in pairs, or rows of one text to compare all with all."""
    if len(texts) > 1:
        if columns or format or delimiter:
            raise CorpusError("--column, --format and --delimiter belong to one file, and here are several texts")
        texts = _typed(texts)
        return [(text,) for text in texts] if whole or len(texts) > 2 else [(texts[0], texts[1])]
    if texts[0] != "-" and not os.path.exists(texts[0]):
        raise CorpusError(f"no such file: {texts[0]!r:.200}; to compare texts instead of a file's, give two or more")
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
