"""Run ``prompteol reproduce``: compute a table of the paper and write both side by side."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from prompteol.cli import console
from prompteol.cli import options as shared
from prompteol.cli.evaluate import read_benchmark
from prompteol.cli.model_options import ModelOptions
from prompteol.cli.options import option
from prompteol.cli.progress import progress
from prompteol.errors import CorpusError, EvaluationError, PromptEOLError
from prompteol.files import refuse_overwrite, write_text
from prompteol.prompts import resolve_demonstrations

if TYPE_CHECKING:
    from prompteol.evaluation import Benchmark, Evaluation
    from prompteol.evaluation.published import Run


def reproduce(
    *,
    table: Annotated[
        Literal["sts", "icl", "fine-tuned", "transfer"],
        typer.Argument(
            metavar="TABLE",
            help="The table: sts (no demonstration), icl (the best demonstration), fine-tuned (the released adapters) "
            "or transfer.",
        ),
    ],
    output: Annotated[
        Path, option("--output -o FOLDER", "The folder for results: a .json file for each model, and comparison.md.")
    ],
    model: Annotated[
        list[str] | None,
        option("--model -m NAME [all of the table]", "A model of the table, such as opt-125m. May be repeated."),
    ] = None,
    model_path: Annotated[
        list[str] | None, option("--model-path NAME=FOLDER", "A local copy of a model. May be repeated.")
    ] = None,
    senteval: shared.SentEvalOption = None,
    dtype: Annotated[
        shared.Dtype,
        option("--dtype", "The data type of the weights; the paper uses float32, and float16 for OPT-66B."),
    ] = "float32",
    device: shared.DeviceOption = None,
    threads: shared.ThreadsOption = None,
    batch_size: shared.BatchSizeOption = None,
    yes: Annotated[bool, option("--yes -y", "Start without asking.")] = False,
    resume: shared.ResumeOption = False,
    force: shared.ForceOption = False,
) -> None:
    """Run a table of the paper and write our figures next to the paper's.

    The size of the downloads and the memory needed are shown first; nothing starts before you agree. A large table
    takes days; after a stop, --resume goes on.
    """
    from prompteol.evaluation import evaluate, results_json
    from prompteol.evaluation.published import plan
    from prompteol.evaluation.report import markdown, tables

    runs = plan(table, model or (), _folders(model_path or ()))
    comparison = output / "comparison.md"
    files = {run.name: output / f"{run.name}.json" for run in runs}
    options = ModelOptions(template="prompteol", dtype=dtype, device=device, threads=threads)
    options.check(None)
    # Local data is read at once, data on the Hub only after the user agrees.
    local = None if senteval is None else read_benchmark([runs[0].suite], senteval)
    _check_output(output, [*files.values(), comparison], force=force or resume)
    wanted = [run for run in runs if not (resume and files[run.name].exists())]
    if wanted:
        _show_plan(wanted, senteval, dtype)
        if not yes and (sys.stdin is None or not sys.stdin.isatty()):
            raise EvaluationError("nothing was started: add --yes to agree to the plan above")
        if not yes:
            typer.confirm("Start?", abort=True)
    benchmark = local or read_benchmark([runs[0].suite], senteval)
    kept = {run.name: _kept(files[run.name], run, benchmark, dtype) for run in runs if run not in wanted}
    output.mkdir(parents=True, exist_ok=True)
    done: list[Evaluation] = []
    for run in runs:
        if run.name in kept:
            done.append(kept[run.name])
            continue
        setup = replace(options, demonstration=[run.demonstrations] if run.demonstrations else [])
        shown: dict[str, Any] = {"name": run.model.repository, "batch_size": batch_size, "progress": progress}
        try:
            # No name is bound to the model, so that its memory is free before the next one is loaded.
            done.append(evaluate(setup.load(run.source), benchmark, **shown))
        except PromptEOLError as error:
            # One model that is gated or gone must not stop the others.
            console.error(f"{run.name}: {error}")
            continue
        write_text(files[run.name], results_json(done[-1:]))
        write_text(comparison, markdown(done))
    if not done:
        raise EvaluationError("no model could be run")
    write_text(comparison, markdown(done))
    console.show(tables(done))
    console.note(f"{comparison}: {len(done)} of {len(runs)} models")


def _kept(file: Path, run: Run, benchmark: Benchmark, dtype: shared.Dtype) -> Evaluation:
    """Read existing results, if they belong to this model, demonstration, precision and data."""
    from prompteol.evaluation import read_results

    shown = [(one.sentence, one.word) for one in resolve_demonstrations(run.demonstrations or ())]
    parts = {name: dict(getattr(task, "parts", {})) for name, task in benchmark.tasks.items()}
    wanted = (run.model.repository, shown, dtype, parts)
    for found in read_results([file]):
        data = {name: score.data for name, score in found.scores.items()}
        if (found.model.name, list(found.model.demonstrations), found.model.dtype, data) == wanted:
            return found
    other = "another model, demonstration, precision or data"
    raise EvaluationError(f"{str(file)!r} holds results of {other}: name another folder, or --force without --resume")


def _folders(given: Sequence[str]) -> dict[str, str]:
    pairs = [entry.partition("=") for entry in given]
    for name, equals, folder in pairs:
        if not (name and equals and Path(folder).is_dir()):
            raise EvaluationError(f"--model-path {name + equals + folder!r}: expected NAME=FOLDER with a folder there")
    return {name: folder for name, _, folder in pairs}


def _check_output(output: Path, files: Sequence[Path], *, force: bool) -> None:
    for folder in (output, *output.parents):
        if folder.exists() and not folder.is_dir():
            raise CorpusError(f"{str(folder)!r} is a file; --output names a folder")
    for file in files if output.is_dir() else ():
        refuse_overwrite(file, force=force)


def _show_plan(runs: Sequence[Run], senteval: Path | None, dtype: shared.Dtype) -> None:
    from rich.table import Table

    table = Table("model", "from", "base", "demonstration", title="What will run", title_justify="left")
    table.add_column("download, GB", justify="right")
    table.add_column(f"weights in {dtype}, GB", justify="right")
    for run in runs:
        cells = (run.name, run.source, run.model.base or "", run.demonstrations or "")
        table.add_row(*map(console.cell, cells), f"{run.download_gb:.1f}", f"{run.memory_gb(dtype):.1f}")
    console.show(table)
    download, memory = sum(run.download_gb for run in runs), max(run.memory_gb(dtype) for run in runs)
    console.note(f"In all about {download:.1f} GB from the Hub; the largest needs more than {memory:.1f} GB of memory.")
    console.note(f"Tasks: {senteval or 'from the Hub'}.")
    if any("decapoda-research" in (run.model.base or "") and not run.folder for run in runs):
        fix = "give the adapter with a base you have: --model-path prompteol-llama-7b=FOLDER"
        console.warning(f"decapoda-research/llama-*-hf has left the Hub; {fix}")
