"""``prompteol words``: what an embedding means, in the model's own words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.bar import Bar
from rich.table import Table

from prompteol.cli import console
from prompteol.cli.options import (
    DemonstrationOption,
    DeviceOption,
    LayerOption,
    ModelOption,
    TemplateOption,
    ThreadsOption,
    load_model,
)
from prompteol.cli.texts import typed_texts

if TYPE_CHECKING:
    from prompteol import Word

__all__ = ["words"]

_BAR_WIDTH = 30


def words(
    texts: Annotated[
        list[str], typer.Argument(metavar="TEXT", help="What to embed; - reads lines from standard input.")
    ],
    k: Annotated[int, typer.Option("-k", metavar="N", min=1, help="Words a text.")] = 5,
    model: ModelOption = None,
    template: TemplateOption = None,
    demonstration: DemonstrationOption = None,
    layer: LayerOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Show the words the model would say next, with their probabilities.

    Into a pipe goes one line a word: text, word, probability, with tabs between them.
    """
    texts = typed_texts(texts)
    embedder = load_model(
        model, template=template, demonstrations=demonstration, layer=layer, device=device, threads=threads
    )
    found = embedder.words(texts, k=k)
    if console.is_terminal():
        console.show(_table(texts, found))
    else:
        console.rows(
            (text, word.text, f"{word.probability:.6f}") for text, row in zip(texts, found, strict=True) for word in row
        )


def _table(texts: list[str], found: list[list[Word]]) -> Table:
    table = Table("text", "word", "probability", "")
    longest = max((word.probability for row in found for word in row), default=1.0)
    for text, row in zip(texts, found, strict=True):
        for rank, word in enumerate(row):
            table.add_row(
                console.cell("" if rank else text),
                console.cell(word.text),
                f"{word.probability:.3f}",
                Bar(size=longest, begin=0, end=word.probability, width=_BAR_WIDTH),
                end_section=rank == len(row) - 1,
            )
    return table
