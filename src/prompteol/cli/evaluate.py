"""``prompteol evaluate``: the paper's tasks, as a table beside the paper's figures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from prompteol.cli import console
from prompteol.cli.options import (
    IMAGES,
    BatchSizeOption,
    DemonstrationOption,
    DeviceOption,
    ForceOption,
    LayerOption,
    TemplateOption,
    ThreadsOption,
    check_model,
    load_model,
)
from prompteol.cli.progress import progress
from prompteol.errors import EvaluationError, ModelNotFoundError
from prompteol.files import atomic_write, refuse_overwrite
from prompteol.plots.picture_file import check_picture

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from prompteol.evaluation import Benchmark, Evaluation

__all__ = ["SentEvalOption", "evaluate", "read_benchmark", "write"]

SentEvalOption = Annotated[
    Path | None,
    typer.Option(
        "--senteval",
        metavar="DIR",
        help="SentEval's data/downstream folder, or one with raw STS folders.",
        show_default="the Hub, through datasets",
    ),
]
_EMBEDDED = "embedded default"


def evaluate(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL",
            help="Causal LMs, adapters or saved models: folders or Hub names.",
            show_default="the model that ships with the package",
        ),
    ] = None,
    tasks: Annotated[
        list[str] | None,
        typer.Option(
            "--tasks", metavar="NAME", help="sts, transfer, all, dev or tasks such as STS-B,MR.", show_default="sts"
        ),
    ] = None,
    senteval: SentEvalOption = None,
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            "--baseline",
            metavar="NAME",
            help="Also: tfidf, mean (the backbones without a prompt), or a sentence-transformers model.",
        ),
    ] = None,
    template: TemplateOption = None,
    demonstration: DemonstrationOption = None,
    layer: LayerOption = None,
    dtype: Annotated[
        Literal["float32", "float16", "bfloat16"] | None,
        typer.Option("--dtype", help="Of the weights.", show_default="float32 on a CPU, else the checkpoint's"),
    ] = None,
    device: DeviceOption = None,
    batch_size: BatchSizeOption = None,
    threads: ThreadsOption = None,
    json: Annotated[
        str | None,
        typer.Option("--json", metavar="FILE", help="Write the results, to repeat and to plot; - is stdout."),
    ] = None,
    markdown: Annotated[Path | None, typer.Option("--markdown", metavar="FILE", help="Write the tables.")] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help=f"Draw STS by task, to a {IMAGES}.")
    ] = None,
    force: ForceOption = False,
) -> None:
    """Score models on the paper's tasks: seven of similarity, seven of transfer.

    Where a model is one of the paper's, set up as there, the published figures and the difference stand below.
    A task whose data is not there is reported as missing. Where a later model fails, what is done is reported and
    written first.
    """
    written = [Path(file).resolve() for file in (json if json != "-" else None, markdown, plot) if file]
    if len(set(written)) < len(written):
        raise EvaluationError("--json, --markdown and --plot name one file twice; give each its own")
    given, chosen = _models_and_tasks(models or [], tasks or [])
    names: list[str | None] = [*given] or [None]
    baselines = [name for name in baseline or () if name != "mean"]
    _check_baselines(baselines)
    benchmark = read_benchmark(chosen, senteval)
    if plot is not None:
        _check_drawn(benchmark)
    # A later one may fail: what is done before it is kept.
    check_model(names[0], template=template, demonstrations=demonstration, layer=layer, device=device)
    for file in (Path(json) if json and json != "-" else None, markdown):
        if file is not None:
            refuse_overwrite(file, force=force)
    if plot is not None:
        check_picture(plot, force=force)

    results: list[Evaluation] = []
    try:
        for name in names:
            model = load_model(
                name,
                template=template,
                demonstrations=demonstration,
                layer=layer,
                device=device,
                dtype=dtype,
                threads=threads,
            )
            results.append(_run(model, benchmark, name or _EMBEDDED, batch_size))
            if "mean" in (baseline or ()):
                results.append(_mean_pooling(model, benchmark, name or _EMBEDDED, batch_size))
            del model
        for name in baselines:
            results.append(_baseline(name, benchmark, device, batch_size))
    finally:
        # One model that is gone, or too large, must not cost the others their hours.
        if results:
            _report(results, json, markdown, plot, force=force)


def read_benchmark(tasks: Sequence[str], senteval: Path | None) -> Benchmark:
    """Read the tasks from a SentEval folder, or from the Hub where none is given."""
    from prompteol.evaluation import HubDatasets, SentEvalFolder, load_benchmark

    with console.waiting("reading the tasks"):
        benchmark = load_benchmark(SentEvalFolder(senteval) if senteval else HubDatasets(), tasks)
    for name, reason in benchmark.missing.items():
        console.warning(f"{name} is missing: {reason}")
    return benchmark


def write(file: Path, text: str, *, force: bool = True) -> None:
    """Write a text file whole or not at all."""
    with atomic_write(file, force=force) as partial:
        partial.write_text(text, encoding="utf-8")


def _models_and_tasks(models: list[str], tasks: list[str]) -> tuple[list[str], list[str]]:
    """Split lists at commas; ``--tasks MR CR`` leaves CR among the models, from where it is brought back."""
    from prompteol.evaluation.tasks import is_task, parse_tasks

    chosen = [name for given in tasks for name in given.split(",") if name]
    parse_tasks(chosen)
    if tasks:
        # A folder of a task's data is no model.
        stray = [name for name in models if is_task(name) and not (Path(name).is_dir() and _is_model(name))]
        chosen += stray
        models = [name for name in models if name not in stray]
    return models, chosen or ["sts"]


def _check_baselines(names: Sequence[str]) -> None:
    """Refuse a baseline that is not there by its small files alone, before any model runs."""
    for name in names:
        # sentence-transformers finds its own models without the first part of their names.
        spellings = [name] if "/" in name else [name, f"sentence-transformers/{name}"]
        if name != "tfidf" and not any(map(_is_model, spellings)):
            raise ModelNotFoundError(
                f"--baseline {name!r} is neither tfidf, mean nor a model: there is no such folder, and nothing by that "
                "name on the Hub (or the Hub is out of reach, or HF_HUB_OFFLINE set)"
            )


def _is_model(name: str) -> bool:
    from prompteol.model import find_source

    try:
        # Where SentenceTransformer looks by default.
        source = find_source(name, cache_folder=os.environ.get("SENTENCE_TRANSFORMERS_HOME"))
        return source.kind != "base" or source.file("config.json") is not None
    except ModelNotFoundError:
        return False


def _check_drawn(benchmark: Benchmark) -> None:
    from prompteol.evaluation import TASKS

    if not any(TASKS[name].suite == "sts" for name in benchmark.tasks):
        raise EvaluationError(
            f"--plot draws STS, and of its tasks none is here, only {', '.join(benchmark.tasks)}: add --tasks sts, or "
            "leave --plot out"
        )


def _run(model: SentenceTransformer, benchmark: Benchmark, name: str, batch_size: int | None) -> Evaluation:
    from prompteol.evaluation import evaluate as evaluate_model

    return evaluate_model(model, benchmark, name=name, batch_size=batch_size, progress=progress)


def _mean_pooling(model: SentenceTransformer, benchmark: Benchmark, name: str, batch_size: int | None) -> Evaluation:
    from prompteol.evaluation import evaluate as evaluate_model
    from prompteol.evaluation.baselines import MeanPooling

    pooled = MeanPooling(model)
    return evaluate_model(pooled, benchmark, name=f"{name}, mean pooling", batch_size=batch_size, progress=progress)


def _baseline(name: str, benchmark: Benchmark, device: str | None, batch_size: int | None) -> Evaluation:
    if name == "tfidf":
        from prompteol.evaluation.baselines import tfidf
        from prompteol.evaluation.description import ModelDescription
        from prompteol.evaluation.runner import evaluate_features

        return evaluate_features(tfidf, benchmark, description=ModelDescription("tf-idf"), progress=progress)
    from sentence_transformers import SentenceTransformer

    try:
        with console.waiting(f"loading {name}"):
            model = SentenceTransformer(name, device=device)
    except OSError as error:
        reason = str(error).strip().partition("\n")[0]
        raise ModelNotFoundError(f"--baseline {name!r} is neither tfidf, mean nor a model: {reason}") from error
    return _run(model, benchmark, name, batch_size)


def _report(
    results: list[Evaluation], json: str | None, markdown: Path | None, plot: Path | None, *, force: bool
) -> None:
    from prompteol.evaluation import results_json
    from prompteol.evaluation.report import markdown as as_markdown
    from prompteol.evaluation.report import tables

    # A reader that goes away, such as less, ends the program: the files come first.
    try:
        if json and json != "-":
            write(Path(json), results_json(results), force=force)
        if markdown:
            write(markdown, as_markdown(results), force=force)
        if plot:
            from prompteol.plots.evaluation import plot_tasks

            plot_tasks(results, plot, force=force)
    finally:
        if json == "-":
            console.echo(results_json(results))
        else:
            console.show(tables(results))
