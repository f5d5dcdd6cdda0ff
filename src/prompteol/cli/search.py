"""``prompteol search``: the nearest texts to a question."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from prompteol.cli import console
from prompteol.cli.encode_folder import showing
from prompteol.cli.options import (
    ColumnOption,
    DelimiterOption,
    DemonstrationOption,
    DeviceOption,
    FormatOption,
    LayerOption,
    ModelOption,
    TemplateOption,
    ThreadsOption,
    check_device,
    load_model,
    prompt_options,
)
from prompteol.errors import CorpusError

if TYPE_CHECKING:
    from prompteol.corpus import Hit

__all__ = ["search"]


def search(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What to look for, in words.")],
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXTS", help="Files, globs or folders of texts; or one folder that encode -o OUT/ wrote."
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", metavar="N", min=1, help="How many texts to show.")] = 5,
    interactive: Annotated[
        bool,
        typer.Option(
            "--interactive", "-i", help="Ask again and again; all arguments are texts, and questions are typed."
        ),
    ] = False,
    model: ModelOption = None,
    template: TemplateOption = None,
    demonstration: DemonstrationOption = None,
    layer: LayerOption = None,
    column: ColumnOption = None,
    format: FormatOption = None,
    delimiter: DelimiterOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Find the texts that are nearest to a question.

    Files are embedded once and kept in a cache, by their content and the model. A terminal gets a table, a pipe JSON
    lines: question, rank, score, row, id, text.
    """
    if column and len(column) > 1:
        raise CorpusError(f"--column: search reads one column, not {len(column)}")
    inputs = [question, *(texts or [])] if interactive else list(texts or [])
    if not inputs:
        raise CorpusError(f'no texts to search; give files: prompteol search "{question:.40}" FILE')
    prompt: dict[str, Any] = {"template": template, "demonstrations": demonstration, "layer": layer}
    prompt_options(**prompt)
    check_device(device)
    from prompteol.corpus.search import open_search

    options: dict[str, Any] = {"format": format, "delimiter": delimiter, "threads": threads}
    if column:
        options["column"] = column[0]
    with showing("embedding") as progress:
        found = open_search(
            inputs,
            model,
            load=lambda name: load_model(name, **prompt, device=device, threads=threads),
            progress=progress,
            **options,
        )
    for asked in _questions() if interactive else [question]:
        (hits,) = found.find(asked, k)
        _show(asked, hits)


def _questions() -> Iterator[str]:
    """Read questions, a line each, until there are no more."""
    with suppress(EOFError):
        while True:
            if sys.stdin.isatty() and console.is_terminal():
                asked = input("question: ")
            else:
                asked = sys.stdin.readline()
                if not asked:
                    return
            if asked.strip():
                yield asked.strip()


def _show(question: str, hits: list[Hit]) -> None:
    if not console.is_terminal():
        for rank, hit in enumerate(hits, start=1):
            console.echo(json.dumps({"question": question, "rank": rank, **asdict(hit)}, ensure_ascii=False))
        return
    table = Table("", "score", "row", "text")
    for rank, hit in enumerate(hits, start=1):
        shown = "" if hit.text is None else hit.text
        table.add_row(str(rank), f"{hit.score:.3f}", str(hit.id), console.cell(shown[:500]))
    console.show(table)
