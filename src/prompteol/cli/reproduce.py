"""``prompteol reproduce``: run a table of the paper and write ours beside it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from prompteol.cli import console
from prompteol.cli.evaluate import SentEvalOption, read_benchmark, write
from prompteol.cli.options import (
    BatchSizeOption,
    DeviceOption,
    ForceOption,
    ThreadsOption,
    check_device,
    load_model,
    use_threads,
)
from prompteol.cli.progress import progress
from prompteol.errors import CorpusError, EvaluationError, PromptEOLError
from prompteol.files import refuse_overwrite
from prompteol.prompts import resolve_demonstrations

if TYPE_CHECKING:
    from prompteol.evaluation import Benchmark, Evaluation
    from prompteol.evaluation.reproduction import Dtype, Run

__all__ = ["reproduce"]

_COMPARISON = "comparison.md"


def reproduce(
    table: Annotated[
        Literal["sts", "icl", "fine-tuned", "transfer"],
        typer.Argument(
            metavar="TABLE",
            help="sts (no demonstration), icl (the best demonstration), fine-tuned (the released adapters), transfer.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where the results go: a .json each, comparison.md.")
    ],
    models: Annotated[
        list[str] | None,
        typer.Option("--models", metavar="NAME", help="Such as opt-125m,opt-1.3b.", show_default="all of the table"),
    ] = None,
    model_path: Annotated[
        list[str] | None,
        typer.Option("--model-path", metavar="NAME=FOLDER", help="A local copy of a model; may be repeated."),
    ] = None,
    senteval: SentEvalOption = None,
    dtype: Annotated[
        Literal["float32", "float16", "bfloat16"],
        typer.Option("--dtype", help="The paper computed up to 30B in float32, 66B in float16."),
    ] = "float32",
    device: DeviceOption = None,
    batch_size: BatchSizeOption = None,
    threads: ThreadsOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Start without asking.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep the results that are there, and run the rest.")
    ] = False,
    force: ForceOption = False,
) -> None:
    """Run a table of the paper and write our figures beside its own.

    What it downloads and how much memory the weights need is said first; nothing starts before you agree. A large table
    takes days: stopped, it goes on with --resume.
    """
    from prompteol.evaluation import results_json
    from prompteol.evaluation.report import markdown, tables
    from prompteol.evaluation.reproduction import plan

    names = [name for given in models or () for name in given.split(",") if name]
    runs = plan(table, names, _folders(model_path or ()))
    check_device(device)
    use_threads(threads)
    # What lies here is read at once; what is on the Hub only when everything is agreed.
    local = None if senteval is None else read_benchmark([runs[0].suite], senteval)
    _check_output(output, [*(run.name + ".json" for run in runs), _COMPARISON], force=force or resume)
    wanted = [run for run in runs if not (resume and _file(output, run).exists())]
    if wanted:
        _show_plan(wanted, senteval, dtype)
        _ask(yes)
    benchmark = local or read_benchmark([runs[0].suite], senteval)
    kept = {run.name: _kept(_file(output, run), run, benchmark, dtype) for run in runs if run not in wanted}
    output.mkdir(parents=True, exist_ok=True)
    done: list[Evaluation] = []
    for run in runs:
        if run.name in kept:
            done.append(kept[run.name])
            continue
        try:
            done.append(_run(run, benchmark, dtype, device, batch_size))
        except PromptEOLError as error:
            # One model that is gated or gone must not cost the others their hours.
            console.error(f"{run.name}: {error}")
            continue
        write(_file(output, run), results_json(done[-1:]))
        write(output / _COMPARISON, markdown(done))
    if not done:
        raise EvaluationError("no model could be run")
    write(output / _COMPARISON, markdown(done))
    console.show(tables(done))
    console.note(f"{output / _COMPARISON}: {len(done)} of {len(runs)} models")


def _file(output: Path, run: Run) -> Path:
    return output / f"{run.name}.json"


def _kept(file: Path, run: Run, benchmark: Benchmark, dtype: Dtype) -> Evaluation:
    """Read results that are there, if they are of this model with this demonstration, precision and data."""
    from prompteol.evaluation import read_results

    shown = [(one.sentence, one.word) for one in resolve_demonstrations(run.demonstrations or ())]
    wanted = run.model.repository, shown, dtype, {name: dict(task.parts) for name, task in benchmark.tasks.items()}
    for found in read_results([file]):
        data = {name: dict(score.data) for name, score in found.scores.items()}
        if (found.model.name, list(found.model.demonstrations), found.model.dtype, data) == wanted:
            return found
    raise EvaluationError(
        f"{str(file)!r} holds results of another model, demonstration, precision or data: name another folder, or "
        "leave --resume out and add --force"
    )


def _folders(given: Sequence[str]) -> dict[str, str]:
    pairs = [entry.partition("=") for entry in given]
    for name, equals, folder in pairs:
        if not (name and equals and Path(folder).is_dir()):
            raise EvaluationError(f"--model-path {name + equals + folder!r}: expected NAME=FOLDER with a folder there")
    return {name: folder for name, _, folder in pairs}


def _check_output(output: Path, files: Sequence[str], *, force: bool) -> None:
    for folder in (output, *output.parents):
        if folder.exists() and not folder.is_dir():
            raise CorpusError(f"{str(folder)!r} is a file; --output names a folder")
    for file in files if output.is_dir() else ():
        refuse_overwrite(output / file, force=force)


def _show_plan(runs: Sequence[Run], senteval: Path | None, dtype: Dtype) -> None:
    from rich.table import Table

    table = Table("model", "from", "base", "demonstration", title="What will run", title_justify="left")
    table.add_column("download, GB", justify="right")
    table.add_column(f"weights in {dtype}, GB", justify="right")
    for run in runs:
        cells = (run.name, run.source, run.model.base or "", run.demonstrations or "")
        table.add_row(*map(console.cell, cells), f"{run.download_gb:.1f}", f"{run.memory_gb(dtype):.1f}")
    console.show(table)
    console.note(
        f"In all about {sum(run.download_gb for run in runs):.1f} GB from the Hub; "
        f"the largest needs more than {max(run.memory_gb(dtype) for run in runs):.1f} GB of memory. "
        f"Tasks: {senteval or 'from the Hub'}."
    )
    if any("decapoda-research" in (run.model.base or "") and not run.folder for run in runs):
        console.warning(
            "decapoda-research/llama-*-hf is no longer on the Hub; give the adapter with a base you have: "
            "--model-path prompteol-llama-7b=FOLDER"
        )


def _ask(yes: bool) -> None:
    if yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise EvaluationError("nothing was started: add --yes to agree to the plan above")
    typer.confirm("Start?", abort=True)


def _run(run: Run, benchmark: Benchmark, dtype: Dtype, device: str | None, batch_size: int | None) -> Evaluation:
    from prompteol.evaluation import evaluate

    model = load_model(
        run.source,
        template="prompteol",
        demonstrations=[run.demonstrations] if run.demonstrations else [],
        device=device,
        dtype=dtype,
    )
    return evaluate(model, benchmark, name=run.model.repository, batch_size=batch_size, progress=progress)
