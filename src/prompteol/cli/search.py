"""Run ``prompteol search``: find the texts that are nearest to a question."""

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
from prompteol.cli import options as shared
from prompteol.cli.encode_folder import show_corpus_progress
from prompteol.cli.model_options import ModelOptions
from prompteol.errors import CorpusError

if TYPE_CHECKING:
    from prompteol.corpus import Hit


def search(
    *,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="The question, in words.")],
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXTS...", help="Files, globs or folders of texts; or one folder that encode -o OUT/ wrote."
        ),
    ] = None,
    nearest: Annotated[int, shared.option("-k N", "The number of texts to show.", min=1)] = 5,
    interactive: Annotated[
        bool, shared.option("--interactive -i", "Read questions, one per line; all arguments are then texts.")
    ] = False,
    model: shared.ModelOption = None,
    options: ModelOptions,
    column: shared.ColumnOption = None,
    format: shared.FormatOption = None,
    delimiter: shared.DelimiterOption = None,
    on_error: shared.OnErrorOption = "stop",
) -> None:
    """Find the texts that are nearest to a question.

    Files are embedded once, and their vectors are kept in a cache. A terminal gets a table, a pipe gets JSON
    lines: question, rank, score, row, id, text.
    """
    if column and len(column) > 1:
        raise CorpusError(f"--column: search reads one column, not {len(column)}")
    inputs = [question, *(texts or [])] if interactive else list(texts or [])
    if not inputs:
        raise CorpusError(f'no texts to search; give files: prompteol search "{question:.40}" FILE')
    options.check(model)
    from prompteol.corpus.search import open_search

    chosen: dict[str, Any] = {"format": format, "delimiter": delimiter, "threads": options.threads}
    if column:
        chosen["column"] = column[0]
    if on_error == "skip":
        chosen["on_error"] = on_error
    left = "shards that are whole stay in the cache: the same command goes on from them"
    with console.when_stopped(left), show_corpus_progress() as progress:
        found = open_search(inputs, model, load=options.load, progress=progress, **chosen)
    if on_error == "skip" and (faults := found.corpus.errors):
        first = "{file!r}, {at}: {error}".format_map(faults[0])
        console.warning(f"{len(faults)} rows at fault were left out, first {first}")
    hits: list[Hit] = []
    for asked in _questions() if interactive else [question]:
        (hits,) = found.find(asked, nearest)
        _show(asked, hits)
    if any(hit.text is None for hit in hits):
        console.note("the folder keeps no text to show: embed it with encode --keep text")


def _questions() -> Iterator[str]:
    """Yield questions, one per line, until the input ends."""
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
