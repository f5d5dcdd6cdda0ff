"""Run ``prompteol encode -o OUT/``: embed any amount of text into a folder of shards."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from prompteol.cli import console
from prompteol.cli.model_options import ModelOptions
from prompteol.cli.options import OnErrorOption, option
from prompteol.cli.progress import Lines, pace
from prompteol.errors import CorpusError
from prompteol.files import atomic_write

if TYPE_CHECKING:
    from prompteol.corpus import CorpusProgress

_SECONDS_BETWEEN_METRICS = 10.0


@dataclass(frozen=True, kw_only=True)
class FolderOptions:
    """Describe a folder of shards, and how processes share the work."""

    keep: Annotated[
        list[str] | None, option("--keep NAME", "A column to keep with the vectors in OUT/. May be repeated.")
    ] = None
    shard_format: Annotated[
        Literal["parquet", "npy"], option("--shard-format", "The format of the shards of OUT/.")
    ] = "parquet"
    shard_rows: Annotated[int, option("--shard-rows N", "The number of input rows per shard of OUT/.", min=1)] = 100_000
    precision: Annotated[
        Literal["float32", "float16", "int8", "ubinary"],
        option("--precision", "The precision in which OUT/ stores vectors."),
    ] = "float32"
    workers: Annotated[
        int | None, option("--workers N [one per device]", "The number of processes that write OUT/.", min=1)
    ] = None
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="[ADDRESS]",
            help="Write OUT/ on the Ray cluster at ADDRESS; without ADDRESS on a running one, else on a local one.",
        ),
    ] = None
    on_error: OnErrorOption = "stop"
    no_resume: Annotated[bool, option("--no-resume", "Refuse an OUT/ that was begun, instead of going on with it.")] = (
        False
    )
    metrics_json: Annotated[Path | None, option("--metrics-json FILE", "Write counts and rates of OUT/ to a file.")] = (
        None
    )

    def refuse(self, output: str) -> None:
        """Raise if an option for folders is given for a file."""
        for field in fields(self):
            if getattr(self, field.name) != field.default:
                option = f"--{field.name.replace('_', '-')}"
                raise CorpusError(f"{option} is for a folder of shards: give one with -o {Path(output).stem}/")


def encode_folder(
    files: list[str],
    output: str,
    model: str | None,
    options: ModelOptions,
    folder: FolderOptions,
    *,
    format: str | None,
    delimiter: str | None,
    **settings: Any,
) -> None:
    """Embed into a folder of shards, or go on where an earlier run was stopped."""
    from prompteol.corpus.embed import run
    from prompteol.corpus.inputs import find_sources
    from prompteol.corpus.job import Job
    from prompteol.corpus.manifest import Settings
    from prompteol.corpus.progress import Meter

    devices: list[str | None] = list(options.device.split(",")) if options.device else [None]
    for device in devices:
        replace(options, device=device).check(model)
    job = Job(
        model,
        partial(_load, options=options),
        tuple(find_sources(files, format, delimiter)),
        output,
        Settings(
            **settings,
            keep=tuple(folder.keep or ()),
            output_format=folder.shard_format,
            shard_rows=folder.shard_rows,
            precision=folder.precision,
            threads=options.threads,
        ),
        folder.on_error,
    )
    address = False if folder.ray is None else folder.ray or True
    # torchrun starts this command several times; only one of them prints and writes metrics.
    first = os.environ.get("RANK", "0") == "0"
    same = f"the same command{' without --no-resume' * folder.no_resume} goes on from them"
    left = f"shards that are whole stay in {output}: {same}" if first else None
    with console.when_stopped(left), show_corpus_progress(folder.metrics_json) as listener:
        meter = Meter(listener=listener)
        whole = run(job, devices, workers=folder.workers, ray=address, resume=not folder.no_resume, meter=meter)
        _write_metrics(folder.metrics_json if first else None, meter.progress())
    record, shards = whole.record, len(whole.record["shards"])
    done = "" if meter.progress().shards else "; it was whole, and nothing was left to do"
    console.note(
        f"{output}: {console.counted(record['rows'], 'vector')} of {record['dimension']} dimensions, "
        f"{record['precision']}, in {console.counted(shards, 'shard')}{done}"
    )
    if record["errors"]:
        console.warning(
            f"left out: {console.counted(record['errors'], 'row')}, which {Path(output) / 'errors.jsonl'} lists"
        )


def _load(model: str | None, *, device: str | None, options: ModelOptions) -> Any:
    return replace(options, device=device).load(model)


@contextmanager
def show_corpus_progress(metrics: Path | None = None) -> Iterator[Callable[[CorpusProgress], None]]:
    """Show rows and tokens per second and the time left: a bar on a terminal, a line now and then elsewhere."""
    err = Console(stderr=True)
    lines, written = Lines(), time.monotonic()
    bar = Progress(TextColumn("embedding"), BarColumn(), TextColumn("{task.description}"), console=err)
    task = bar.add_task("", total=None)
    # torchrun starts this command several times; only one of them shows progress.
    shown = os.environ.get("RANK", "0") == "0"
    with ExitStack() as stack:

        def listen(progress: CorpusProgress) -> None:
            nonlocal written
            if err.is_terminal and shown:
                if not bar.live.is_started:
                    # The bar starts late, as another message is shown while the model loads.
                    stack.enter_context(bar)
                done = progress.rows + progress.rows_resumed
                bar.update(task, completed=done, total=progress.total, description=_said(progress))
            elif shown:
                lines.say(lambda: f"embedding: {_said(progress)}")
            if time.monotonic() - written > _SECONDS_BETWEEN_METRICS:
                written = time.monotonic()
                _write_metrics(metrics if shown else None, progress)

        yield listen


def _said(progress: CorpusProgress) -> str:
    rates = progress.metrics()
    said = pace(progress.rows + progress.rows_resumed, progress.total, "texts", rates["rows_per_second"])
    tokens = f", {rates['tokens_per_second']:,.0f} tokens/s" if progress.tokens else ""
    return said + tokens + (f", {progress.errors} at fault" if progress.errors else "")


def _write_metrics(path: Path | None, progress: CorpusProgress) -> None:
    if path is not None:
        with atomic_write(path) as partial_file:
            partial_file.write_text(json.dumps(progress.metrics(), indent=2) + "\n", encoding="utf-8")
