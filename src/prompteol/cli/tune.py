"""Run ``prompteol tune``: find the template, demonstration, layer and technique that suit a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from prompteol.cli import console
from prompteol.cli import options as shared
from prompteol.cli.model_options import LoadingOptions, ModelOptions, parse_layer, save
from prompteol.cli.options import option
from prompteol.cli.progress import Lines
from prompteol.errors import CorpusError
from prompteol.files import TextSource
from prompteol.files.atomic import check_folder
from prompteol.plots.picture import check_picture
from prompteol.prompts import DEMONSTRATIONS, TEMPLATES, Demonstration, resolve_demonstrations, resolve_template
from prompteol.techniques import TECHNIQUES, Technique
from prompteol.techniques.registry import resolve_techniques

if TYPE_CHECKING:
    from prompteol.tuning import TuningProgress, TuningResult

# The number of rows that a terminal shows without scrolling; a pipe gets all rows.
_SHOWN = 15


def tune(
    *,
    model: shared.ModelOption = None,
    pairs: Annotated[
        Path,
        option(
            "--pairs -p FILE",
            "The file of sentence pairs to score on: two columns of sentences, and a third of human scores, if any.",
        ),
    ],
    column: shared.ColumnOption = None,
    delimiter: shared.DelimiterOption = None,
    demonstration: Annotated[
        list[str] | None,
        option(
            "--demonstration -d SENTENCE=>WORD [124 that ship with the package]",
            "A demonstration to try, a preset, or a file of demonstrations (.jsonl, .csv, .tsv, or .txt in the "
            "authors' form). May be repeated.",
        ),
    ] = None,
    template: Annotated[
        list[str] | None,
        option(
            "--template -t TEMPLATE [the model's own]",
            f"A template to try: a preset ({', '.join(TEMPLATES)}) or your own wording. May be repeated.",
        ),
    ] = None,
    layer: Annotated[
        list[str] | None, option("--layer LAYER [all]", "A layer to try, such as -2 or 0.9. May be repeated.")
    ] = None,
    normalization: shared.NormalizationOption = None,
    technique: Annotated[
        list[str] | None,
        option(
            "--technique NAME[:OPTION=VALUE,...] [all that fit the model]",
            f"A technique to try ({', '.join(TECHNIQUES)}), or none. May be repeated.",
        ),
    ] = None,
    fit_texts: Annotated[
        str | None,
        option(
            "--fit-texts FILE [the sentences of the pairs]",
            "The file of texts, without labels, to fit techniques such as whitening on.",
        ),
    ] = None,
    budget: Annotated[
        float | None,
        option(
            "--budget TIMES [any]",
            "The most tokens per text, relative to the model's own template without demonstrations.",
            min=0.0,
        ),
    ] = None,
    max_demonstrations: Annotated[
        int, option("--max-demonstrations N", "The most demonstrations in a prompt, added one by one.", min=1)
    ] = 1,
    exhaustive: Annotated[bool, option("--exhaustive", "Score every candidate on all pairs.")] = False,
    results: Annotated[
        Path | None,
        option(
            "--results FILE [PAIRS.tuning.jsonl in this folder]",
            "The file that logs finished work; after a stop, the same command goes on from it.",
        ),
    ] = None,
    seed: Annotated[int, option("--seed N", "The seed of everything that is drawn at random.", min=0)] = 0,
    output: Annotated[
        Path | None, option("--output -o FOLDER", "The folder to save the model with the best settings in.")
    ] = None,
    plot_scores: Annotated[
        Path | None,
        option("--plot-scores IMAGE", f"Draw the distribution of scores over demonstrations, to a {shared.IMAGES}."),
    ] = None,
    plot_layers: Annotated[
        Path | None, option("--plot-layers IMAGE", f"Draw the score at each layer, to a {shared.IMAGES}.")
    ] = None,
    plot_front: Annotated[
        Path | None,
        option(
            "--plot-front IMAGE", f"Draw the scores of the settings against their cost in tokens, to a {shared.IMAGES}."
        ),
    ] = None,
    loading: LoadingOptions,
    dtype: shared.DtypeOption = None,
    force: shared.ForceOption = False,
) -> None:
    """Find the template, demonstration, layer and technique that do best on pairs of sentences.

    Poor candidates are dropped after a few pairs. After a stop, even by kill -9, the same command goes on.

    A pipe gets the final table, one candidate per line, best first: rank, score, layer, pairs it was scored on,
    template, demonstrations, technique, and the cost per text: passes, tokens relative to the model's own template,
    dimension. Stderr lists the settings that no cheaper one beats.
    """
    depths = [parse_layer(text) for text in layer] if layer else None
    templates = None if template is None else list(map(resolve_template, template))
    if templates and normalization:
        templates = [one.with_normalization(normalization) for one in templates]
    techniques = _techniques(technique)
    from prompteol.data import read_pairs
    from prompteol.demonstrations import read_demonstrations

    shots: list[Demonstration] = []
    for one in demonstration or ():
        shots += resolve_demonstrations(one) if "=>" in one or one in DEMONSTRATIONS else read_demonstrations(one)

    scored = read_pairs(pairs, column or (), delimiter=delimiter)
    texts = None if fit_texts is None else list(TextSource.open(fit_texts).texts())
    options = ModelOptions(**asdict(loading), dtype=dtype, normalization=normalization)
    options.check(model)
    if output is not None:
        check_folder(output, force=force)
    log = results or Path(f"{pairs.stem}.tuning.jsonl")
    if not log.resolve().parent.is_dir():
        raise CorpusError(f"--results {str(log)!r}: the folder does not exist; make it first")
    for image in (plot_scores, plot_layers, plot_front):
        check_picture(image, force=force)
    from prompteol.tuning import tune_prompt

    loaded = options.load(model)
    with console.when_stopped(f"what is done is in {log}: the same command goes on from it"), _live() as watch:
        found = tune_prompt(
            loaded,
            scored,
            shots if demonstration else None,
            templates=templates,
            layers=depths,
            techniques=techniques,
            fit_texts=texts,
            budget=budget,
            max_demonstrations=max_demonstrations,
            exhaustive=exhaustive,
            seed=seed,
            results=log,
            watch=watch,
        )
    # A reader that goes away, such as less, ends the program, so files are written before the table.
    try:
        if output is not None:
            found.apply_to(loaded)
            save(loaded, output, force=force)
        for image, (draw, what) in zip((plot_scores, plot_layers, plot_front), _pictures(), strict=True):
            if image is not None:
                draw(found, image, force=force)
                console.note(f"{image}: {what}")
    finally:
        _conclude(found, log)
    if output is not None:
        console.note_saved(output)


def _techniques(given: Sequence[str] | None) -> Sequence[Technique] | None:
    """Resolve the named techniques; ``none`` alone gives an empty list."""
    if given is None:
        return None
    return () if list(given) == ["none"] else resolve_techniques(given)


def _pictures() -> Sequence[tuple[Callable[..., None], str]]:
    from prompteol.plots.tuning import plot_front, plot_layers, plot_scores

    return (
        (plot_scores, "the distribution of scores"),
        (plot_layers, "the score at each layer"),
        (plot_front, "scores against their cost"),
    )


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
    table = Table("score", "layer", "pairs", "template", "demonstrations", "technique")
    for one in progress.leaders[:_SHOWN]:
        what = one.candidate.name, one.candidate.demonstration_text, one.technique_text
        table.add_row(f"{one.score:.2f}", str(one.layer), str(one.pairs), *map(console.cell, what))
    return Group(table, Text(_state(progress)))


def _state(progress: TuningProgress) -> str:
    state = (
        f"round {progress.round} of {progress.rounds}: candidate {progress.done} of {progress.candidates} on "
        f"{progress.pairs} pairs; {progress.tokens:,} tokens so far"
    )
    return state if not progress.leaders else f"{state}; best {progress.leaders[0].score:.2f}"


def _conclude(found: TuningResult, log: Path) -> None:
    from prompteol.tuning import HEADER

    rows = found.rows()
    if console.is_terminal():
        table = Table(*HEADER)
        for row in rows[:_SHOWN]:
            table.add_row(*map(console.cell, row))
        console.show(table)
    else:
        console.rows([HEADER, *rows])
    best = f"template {found.candidate.name}, layer {found.layer}, technique {found.technique}"
    console.note(f"best: {found.candidate.demonstration_text}, {best}")
    console.note(f"{found.best.score:.2f} by {found.measure}")
    console.note(f"gain over the template alone ({found.baseline.score:.2f}): {found.gain}")
    console.note("not beaten at the same tokens and dimension:")
    for one in found.front:
        cost = f"{one.cost.tokens:.2f} times the tokens, {one.cost.passes} passes, {one.read.dimension} dimensions"
        what = f"layer {one.read.layer}, {one.candidate.name}, {one.candidate.demonstration_text}, {one.technique_text}"
        console.note(f"  {one.score:.2f} ({one.gain}): {cost}: {what}")
    for name, why in found.skipped.items():
        console.note(f"not tried: {name}: {why}")
    console.note(f"{found.tokens}; every result is in {log}")
    if found.warning is not None:
        console.warning(found.warning)
