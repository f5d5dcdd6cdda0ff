"""Run ``prompteol words``: show the words that a model would say next."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer
from rich.bar import Bar
from rich.table import Table

from prompteol.cli import console
from prompteol.cli.model_options import ModelOptions
from prompteol.cli.options import ModelOption, option
from prompteol.files import TextSource

if TYPE_CHECKING:
    from prompteol import Word


def words(
    *,
    texts: Annotated[
        list[str],
        typer.Argument(metavar="TEXT...", help="The texts to embed; a lone - reads lines from standard input."),
    ],
    k: Annotated[int, option("-k N", "The number of words for each text.", min=1)] = 5,
    model: ModelOption = None,
    options: ModelOptions,
) -> None:
    """Show the words the model would say next, with their probabilities.

    Into a pipe goes one line a word: text, word, probability, with tabs between them.
    """
    texts = typed_texts(texts)
    options.check(model)
    embedder = options.load(model)
    found = embedder.words(texts, k=k)
    if console.is_terminal():
        console.show(_table(texts, found))
    else:
        console.rows(
            (text, word.text, f"{word.probability:.6f}") for text, row in zip(texts, found, strict=True) for word in row
        )


def typed_texts(arguments: list[str]) -> list[str]:
    """Return the arguments as texts, a lone ``-`` as the lines of standard input; warn of one that names a file."""
    if arguments == ["-"]:
        return list(TextSource.open("-").texts())
    for argument in arguments:
        # Not Path.is_file(), which raises where a text is too long to be a name.
        if os.path.isfile(argument):
            console.warning(f"{argument!r} is embedded as a text; the file of that name is not read")
    return arguments


def _table(texts: list[str], found: list[list[Word]]) -> Table:
    table = Table("text", "word", "probability", "")
    longest = max((word.probability for row in found for word in row), default=1.0)
    for text, row in zip(texts, found, strict=True):
        for rank, word in enumerate(row):
            table.add_row(
                console.cell("" if rank else text),
                console.cell(word.text),
                f"{word.probability:.3f}",
                Bar(size=longest, begin=0, end=word.probability, width=30),
                end_section=rank == len(row) - 1,
            )
    return table
