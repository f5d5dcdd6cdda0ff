"""Run ``prompteol tune``: find the template, demonstration and layer that suit a model."""

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
from prompteol.cli.model_options import LoadingOptions, ModelOptions, parse_layer
from prompteol.cli.options import (
    IMAGES,
    ColumnOption,
    DelimiterOption,
    DtypeOption,
    ForceOption,
    ModelOption,
    NormalizationOption,
)
from prompteol.cli.progress import Lines
from prompteol.errors import CorpusError
from prompteol.files.folders import atomic_folder, check_folder
from prompteol.plots.picture_file import check_picture
from prompteol.prompts import (
    DEMONSTRATIONS,
    TEMPLATES,
    Demonstration,
    NormalizationMode,
    PromptTemplate,
    RetrievalTemplate,
    resolve_demonstrations,
    resolve_template,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from prompteol.tuning import TuningProgress, TuningResult

__all__ = ["tune"]

# The rows that a terminal shows without scrolling; a pipe gets all rows.
_SHOWN = 15


def tune(
    *,
    model: ModelOption = None,
    pairs: Annotated[
        Path,
        typer.Option(
            "--pairs",
            "-p",
            metavar="FILE",
            help="The file of pairs to score on: two columns of sentences, and a third of human scores if there are "
            "any.",
        ),
    ],
    column: ColumnOption = None,
    delimiter: DelimiterOption = None,
    demonstration: Annotated[
        list[str] | None,
        typer.Option(
            "--demonstration",
            "-d",
            metavar="SENTENCE=>WORD",
            help="A demonstration to try, a preset, or a file of demonstrations (.jsonl, .csv, .tsv, or .txt in the "
            "authors' form). May be repeated.",
            show_default="124 that ship with the package",
        ),
    ] = None,
    template: Annotated[
        list[str] | None,
        typer.Option(
            "--template",
            "-t",
            metavar="TEMPLATE",
            help=f"A template to try: a preset ({', '.join(TEMPLATES)}) or your own wording. May be repeated.",
            show_default="the model's own",
        ),
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            "--layer",
            metavar="LAYER",
            help="A layer to try, such as -2 or 0.9. May be repeated.",
            show_default="all",
        ),
    ] = None,
    normalization: NormalizationOption = None,
    max_demonstrations: Annotated[
        int,
        typer.Option(
            "--max-demonstrations", metavar="N", min=1, help="The most demonstrations in a prompt, added one by one."
        ),
    ] = 1,
    exhaustive: Annotated[bool, typer.Option("--exhaustive", help="Score every candidate on all pairs.")] = False,
    results: Annotated[
        Path | None,
        typer.Option(
            "--results",
            metavar="FILE",
            help="The file that logs finished work, from which the same command goes on after a stop.",
            show_default="PAIRS.tuning.jsonl in this folder",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, help="The seed of everything that is drawn at random.")
    ] = 0,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FOLDER", help="The folder to save the model with the best prompt and layer in."
        ),
    ] = None,
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
    loading: LoadingOptions,
    dtype: DtypeOption = None,
    force: ForceOption = False,
) -> None:
    """Find the template, demonstration and layer that do best on pairs of sentences.

    Poor candidates leave after a few pairs, so that this costs about a tenth of trying everything. Stopped, even by
    kill -9, it goes on where it was when called again.

    Into a pipe goes the final table, a candidate a line, best first: rank, score, layer, pairs it was scored on,
    template, demonstrations.
    """
    depths = [parse_layer(text) for text in layer] if layer else None
    templates = None if template is None else [_template(text, normalization) for text in template]
    shots = _demonstrations(demonstration)

    from prompteol.data import read_pairs
    from prompteol.tuning import tune_prompt

    scored = read_pairs(pairs, column or (), delimiter=delimiter)
    options = ModelOptions.of(loading, dtype=dtype, normalization=normalization)
    options.check(model)
    if output is not None:
        check_folder(output, force=force)
    log = results or Path(f"{pairs.stem}.tuning.jsonl")
    if not log.resolve().parent.is_dir():
        raise CorpusError(f"--results {str(log)!r}: the folder does not exist; make it first")
    for image in filter(None, (plot_scores, plot_layers)):
        check_picture(image, force=force)
    loaded = options.load(model)
    with console.when_stopped(f"what is done is in {log}: the same command goes on from it"), _live() as watch:
        found = tune_prompt(
            loaded,
            scored,
            shots,
            templates=templates,
            layers=depths,
            max_demonstrations=max_demonstrations,
            exhaustive=exhaustive,
            seed=seed,
            results=log,
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
        _conclude(found, log)
    if output is not None:
        console.note_saved(output)


def _template(text: str, normalization: NormalizationMode | None) -> PromptTemplate | RetrievalTemplate:
    template = resolve_template(text)
    return template if normalization is None else template.with_normalization(normalization)


def _demonstrations(given: list[str] | None) -> list[Demonstration]:
    """Read demonstrations, presets and files of demonstrations."""
    from prompteol.demonstrations import default_demonstrations, read_demonstrations

    if given is None:
        return list(default_demonstrations())
    written = [one for one in given if "=>" in one or one in DEMONSTRATIONS]
    return [
        shown
        for one in given
        for shown in (resolve_demonstrations(one) if one in written else read_demonstrations(Path(one)))
    ]


@contextmanager
def _live() -> Iterator[Callable[[TuningProgress], None]]:
    """Show the leading candidates on stderr: a table on a terminal, a line now and then elsewhere."""
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
        shown = console.cell(one.candidate.demonstration_text)
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


def _conclude(found: TuningResult, log: Path) -> None:
    console.note(f"best: {found.candidate.demonstration_text}, template {found.candidate.name}, layer {found.layer}")
    console.note(f"{found.best.score:.2f} by {found.measure}")
    console.note(f"gain over no demonstration ({found.baseline.score:.2f}): {found.gain}")
    console.note(f"{found.tokens}; every result is in {log}")
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
