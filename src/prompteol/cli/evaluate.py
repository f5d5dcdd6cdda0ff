"""Run ``prompteol evaluate`` and ``prompteol plot``: score models beside the paper's figures, and draw the scores."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from prompteol.cli import console
from prompteol.cli.model_options import ModelOptions
from prompteol.cli.options import IMAGES, BatchSizeOption, ForceOption, PlotOption, SentEvalOption, option
from prompteol.cli.progress import progress
from prompteol.errors import EvaluationError, HubError, ModelNotFoundError
from prompteol.files import refuse_overwrite, write_text
from prompteol.plots.picture import check_picture

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from prompteol.evaluation import Benchmark, Evaluation


def evaluate(
    *,
    model: Annotated[
        list[str] | None,
        option(
            "--model -m MODEL [the model that ships with the package]",
            "The folder or Hub name of a causal LM, an adapter or a saved model. May be repeated.",
        ),
    ] = None,
    options: ModelOptions,
    tasks: Annotated[
        list[str] | None,
        option(
            "--tasks NAMES [sts]",
            "The tasks, separated by commas: groups (sts, transfer, all, dev) or names such as STS-B,MR.",
        ),
    ] = None,
    senteval: SentEvalOption = None,
    baseline: Annotated[
        list[str] | None,
        option(
            "--baseline NAME",
            "A baseline to compare with: tfidf, mean (the backbones without a prompt), or the folder or Hub name of a "
            "sentence-transformers model. May be repeated.",
        ),
    ] = None,
    batch_size: BatchSizeOption = None,
    output: Annotated[
        str | None,
        option(
            "--output -o FILE", "The JSON file to write results to, for prompteol plot; - writes to standard output."
        ),
    ] = None,
    markdown: Annotated[Path | None, option("--markdown FILE", "Write the tables to a Markdown file.")] = None,
    plot: PlotOption = None,
    card: Annotated[
        Path | None,
        option("--card FILE", "The first model's card, README.md, to write the scores and the command into."),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Score models on the paper's tasks: seven similarity tasks and seven transfer tasks.

    For a model and prompt of the paper, the published figures and the difference are printed below.
    A task without data is reported as missing. If a later model fails, the finished results are reported and
    written first.
    """
    json = None if output in (None, "-") else Path(output)
    written = [file.resolve() for file in (json, markdown, plot) if file]
    if len(set(written)) < len(written):
        raise EvaluationError("--output, --markdown and --plot name one file twice; give each its own")
    names: list[str | None] = [*(model or ())] or [None]
    baselines = [name for name in baseline or () if name != "mean"]
    for name in baselines:
        _check_baseline(name)
    wanted = [name for given in tasks or () for name in given.split(",") if name]
    benchmark = read_benchmark(wanted or ["sts"], senteval)
    from prompteol.evaluation import TASKS
    from prompteol.evaluation import evaluate as evaluate_model
    from prompteol.evaluation.results import ModelDescription
    from prompteol.evaluation.runner import MeanPooling, evaluate_features, tfidf

    if plot is not None and not any(TASKS[name].suite == "sts" for name in benchmark.tasks):
        there = ", ".join(benchmark.tasks)
        raise EvaluationError(f"--plot draws STS, and of its tasks none is here, only {there}: add --tasks sts")
    # A later model may fail; the results before it are kept.
    options.check(names[0])
    for file in filter(None, (json, markdown)):
        refuse_overwrite(file, force=force)
    check_picture(plot, force=force)
    if card is not None:
        from prompteol.evaluation.card import read_card

        read_card(card)

    run = partial(evaluate_model, tasks=benchmark, batch_size=batch_size, progress=progress)
    results: list[Evaluation] = []
    try:
        for given in names:
            name = given or "embedded default"
            loaded = options.load(given)
            results.append(run(loaded, name=name))
            if "mean" in (baseline or ()):
                results.append(run(MeanPooling(loaded), name=f"{name}, mean pooling"))
            del loaded
        for name in baselines:
            if name == "tfidf":
                described = ModelDescription("tf-idf")
                results.append(evaluate_features(tfidf, benchmark, description=described, progress=progress))
            else:
                results.append(run(_load(name, options.device), name=name))
    finally:
        # One model that is gone or too large must not stop the others.
        if results:
            _report(results, json, markdown, plot, force=force, echo=output == "-")
            if card is not None:
                from prompteol.evaluation.card import write_scores

                write_scores(card, results, wanted or ["sts"])
                console.note(f"{card}: has these scores now")


def plot(
    *,
    results: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="The files that prompteol evaluate --output wrote.")
    ],
    output: Annotated[Path, option("--output -o IMAGE", f"The picture to draw, a {IMAGES}.")],
    kind: Annotated[
        Literal["sts", "transfer", "scaling"],
        option(
            "--kind",
            "What to draw: bars for each task of sts or transfer; scaling draws STS against the number of parameters.",
        ),
    ] = "sts",
    force: ForceOption = False,
) -> None:
    """Draw results: bars for each task, or scores against model size beside the paper's."""
    from prompteol.evaluation import read_results
    from prompteol.plots.evaluation import plot_scaling, plot_tasks

    evaluations = read_results(results)
    check_picture(output, force=force)
    drawn = len(evaluations)
    if kind == "scaling":
        drawn = plot_scaling(evaluations, output, force=force)
    else:
        plot_tasks(evaluations, output, suite=kind, force=force)
    console.note(f"{output}: {drawn} of {len(evaluations)} results")
    if kind == "scaling" and drawn == 1:
        console.warning("one model makes a point and no line: give results of several sizes, each with a prompt")


def read_benchmark(tasks: Sequence[str], senteval: Path | None) -> Benchmark:
    """Read the tasks from a SentEval folder, or from the Hub where none is given."""
    from prompteol.evaluation import HubDatasets, SentEvalFolder, load_benchmark

    with console.waiting("reading the tasks"):
        benchmark = load_benchmark(SentEvalFolder(senteval) if senteval else HubDatasets(), tasks)
    for name, reason in benchmark.missing.items():
        console.warning(f"{name} is missing: {reason}")
    return benchmark


def _check_baseline(name: str) -> None:
    """Refuse a baseline that does not exist, by its small files alone, before any model runs."""
    from prompteol.model import find_source

    if name == "tfidf":
        return
    # sentence-transformers finds its own models without the first part of their names.
    for spelling in [name] if "/" in name else [name, f"sentence-transformers/{name}"]:
        with suppress(ModelNotFoundError, HubError):
            # SentenceTransformer looks here by default.
            source = find_source(spelling, cache_folder=os.environ.get("SENTENCE_TRANSFORMERS_HOME"))
            if source.kind != "base" or source.file("config.json") is not None:
                return
    reason = "there is no such folder, and the Hub has none or is out of reach"
    raise ModelNotFoundError(f"--baseline {name!r} is neither tfidf, mean nor a model: {reason}")


def _load(baseline: str, device: str | None) -> SentenceTransformer:
    from sentence_transformers import SentenceTransformer

    try:
        with console.waiting(f"loading {baseline}"):
            return SentenceTransformer(baseline, device=device)
    except OSError as error:
        reason = str(error).strip().partition("\n")[0]
        raise ModelNotFoundError(f"--baseline {baseline!r} is neither tfidf, mean nor a model: {reason}") from error


def _report(
    results: list[Evaluation], json: Path | None, markdown: Path | None, plot: Path | None, *, force: bool, echo: bool
) -> None:
    from prompteol.evaluation import report, results_json
    from prompteol.plots.evaluation import plot_tasks

    # A reader that goes away, such as less, ends the program, so the files are written first.
    try:
        if json:
            write_text(json, results_json(results), force=force)
        if markdown:
            write_text(markdown, report.markdown(results), force=force)
        if plot:
            plot_tasks(results, plot, force=force)
    finally:
        if echo:
            console.echo(results_json(results))
        else:
            console.show(report.tables(results))
