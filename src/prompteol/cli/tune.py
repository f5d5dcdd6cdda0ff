"""``prompteol tune``: the template, demonstration and layer that suit a model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from prompteol.cli import console
from prompteol.cli.options import (
    IMAGES,
    ColumnOption,
    DelimiterOption,
    DeviceOption,
    ForceOption,
    ThreadsOption,
    check_model,
    load_model,
    parse_layer,
)
from prompteol.cli.progress import Lines
from prompteol.errors import CorpusError
from prompteol.files.folders import atomic_folder, check_folder
from prompteol.plots.picture_file import check_picture
from prompteol.prompts import TEMPLATES, resolve_template

if TYPE_CHECKING:
    from collections.abc import Callable

    from prompteol.tuning import TuningProgress, TuningResult

__all__ = ["tune"]

# Rows that a terminal shows without scrolling; a pipe gets all of them.
_SHOWN = 15


def tune(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="A causal LM, an adapter or a saved model: folder or Hub name.",
            show_default="the model that ships with the package",
        ),
    ] = None,
    *,
    pairs: Annotated[
        Path,
        typer.Option(
            "--pairs",
            "-p",
            metavar="FILE",
            help="Pairs to score on: two columns of sentences, and a third of human scores if there are any.",
        ),
    ],
    demonstrations: Annotated[
        Path | None,
        typer.Option(
            "--demonstrations",
            metavar="FILE",
            help="The candidates: .jsonl, .csv, .tsv, or .txt in the authors' form.",
            show_default="124 that ship with the package",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="OUT", help="Save the model with the best setting here.")
    ] = None,
    template: Annotated[
        list[str] | None,
        typer.Option(
            "--template",
            "-t",
            metavar="TEMPLATE",
            help=f"A template to try ({', '.join(TEMPLATES)}, or your own wording); may be repeated.",
            show_default="the model's own",
        ),
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            "--layer", metavar="LAYER", help="A layer to try, as -2 or 0.9; may be repeated.", show_default="all"
        ),
    ] = None,
    max_demonstrations: Annotated[
        int, typer.Option("--max-demonstrations", metavar="N", min=1, help="Show up to N, added one after the other.")
    ] = 1,
    exhaustive: Annotated[bool, typer.Option("--exhaustive", help="Score every candidate on all pairs.")] = False,
    results: Annotated[
        Path | None,
        typer.Option(
            "--results",
            metavar="FILE",
            help="Where finished work is written; a search that was stopped goes on from it.",
            show_default="PAIRS.search.jsonl in this folder",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Of the order in which pairs are taken.")] = 0,
    plot_scores: Annotated[
        Path | None,
        typer.Option(
            "--plot-scores", metavar="IMAGE", help=f"Draw how scores spread over demonstrations, to a {IMAGES}."
        ),
    ] = None,
    plot_layers: Annotated[
        Path | None,
        typer.Option("--plot-layers", metavar="IMAGE", help=f"Draw the score at each layer, to a {IMAGES}."),
    ] = None,
    column: ColumnOption = None,
    delimiter: DelimiterOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    force: ForceOption = False,
) -> None:
    """Find the template, demonstration and layer that do best on pairs of sentences.

    Poor candidates leave after a few pairs, so that this costs about a tenth of trying everything. Stopped, even by
    kill -9, it goes on where it was when called again.

    Into a pipe goes the final table, a candidate a line, best first: rank, score, layer, pairs it was scored on,
    template, demonstrations.
    """
    depths = [parse_layer(text) for text in layer] if layer else None
    for text in template or ():
        resolve_template(text)
    from prompteol.demonstrations import default_demonstrations, read_demonstrations

    shots = default_demonstrations() if demonstrations is None else read_demonstrations(demonstrations)

    from prompteol.data import read_pairs
    from prompteol.tuning import tune_prompt

    scored = read_pairs(pairs, column or (), delimiter=delimiter)
    check_model(model, device=device)
    if output is not None:
        check_folder(output, force=force)
    ledger = results or Path(f"{pairs.stem}.search.jsonl")
    if not ledger.resolve().parent.is_dir():
        raise CorpusError(f"--results {str(ledger)!r}: the folder does not exist; make it first")
    for image in filter(None, (plot_scores, plot_layers)):
        check_picture(image, force=force)
    loaded = load_model(model, device=device, threads=threads)
    with console.when_stopped(f"what is done is in {ledger}: the same command goes on from it"), _live() as watch:
        found = tune_prompt(
            loaded,
            scored,
            shots,
            templates=template,
            layers=depths,
            max_demonstrations=max_demonstrations,
            exhaustive=exhaustive,
            seed=seed,
            results=ledger,
            watch=watch,
        )
    # A reader that goes away, such as less, ends the program: what is kept comes first.
    try:
        if output is not None:
            found.apply_to(loaded)
            with console.waiting("saving"), atomic_folder(output, force=force) as partial:
                loaded.save_pretrained(str(partial))
        _draw(found, plot_scores, plot_layers, force=force)
    finally:
        _show(found)
        _conclude(found, ledger)
    if output is not None:
        console.note(f'{output}: load it with SentenceTransformer("{output}") or PromptEOL("{output}")')


@contextmanager
def _live() -> Iterator[Callable[[TuningProgress], None]]:
    """Show the leaders on stderr while the search runs; a line now and then where nobody watches."""
    err = Console(stderr=True)
    if not err.is_terminal:
        lines = Lines()
        yield lambda progress: lines.say(lambda: _state(progress))
        return
    with Live(console=err, auto_refresh=False, transient=True) as live:
        yield lambda progress: live.update(_leaders(progress), refresh=True)


def _leaders(progress: TuningProgress) -> Group:
    table = Table("score", "layer", "pairs", "template", "demonstrations")
    for one in progress.leaders[:_SHOWN]:
        shown = console.cell(one.candidate.shown)
        table.add_row(f"{one.score:.2f}", str(one.layer), str(one.pairs), console.cell(one.candidate.name), shown)
    return Group(table, Text(_state(progress)))


def _state(progress: TuningProgress) -> str:
    state = (
        f"round {progress.round} of {progress.rounds}: candidate {progress.done} of {progress.candidates} on "
        f"{progress.pairs} pairs; {progress.tokens:,} tokens so far"
    )
    return state if not progress.leaders else f"{state}; best {progress.leaders[0].score:.2f}"


def _show(found: TuningResult) -> None:
    from prompteol.tuning import HEADER

    rows = found.rows()
    if not console.is_terminal():
        console.rows([HEADER, *rows])
        return
    table = Table(*HEADER)
    for row in rows[:_SHOWN]:
        table.add_row(*map(console.cell, row))
    console.show(table)


def _conclude(found: TuningResult, ledger: Path) -> None:
    console.note(f"best: {found.candidate.shown}, template {found.candidate.name}, layer {found.layer}")
    console.note(f"{found.best.score:.2f} by {found.measure}")
    console.note(f"gain over no demonstration ({found.baseline.score:.2f}): {found.gain}")
    console.note(f"{found.tokens}; every result is in {ledger}")
    if found.warning is not None:
        console.warning(found.warning)


def _draw(found: TuningResult, scores: Path | None, layers: Path | None, *, force: bool) -> None:
    from prompteol.plots import tuning as plots

    if scores is not None:
        plots.plot_scores(found, scores, force=force)
        console.note(f"{scores}: the distribution of scores")
    if layers is not None:
        plots.plot_layers(found, layers, force=force)
        console.note(f"{layers}: the score at each layer")
