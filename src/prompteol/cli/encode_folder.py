"""``prompteol encode -o OUT/``: texts of any amount to a folder of shards."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from prompteol.cli import console
from prompteol.cli.options import check_device, load_model, prompt_options
from prompteol.cli.progress import Lines, pace
from prompteol.errors import CorpusError
from prompteol.files import atomic_write

if TYPE_CHECKING:
    from prompteol import PromptEOL
    from prompteol.corpus import CorpusProgress

__all__ = ["FolderOptions", "encode_folder", "is_folder", "showing"]

_SECONDS_BETWEEN_METRICS = 10.0


@dataclass(frozen=True)
class FolderOptions:
    """What only a folder of shards can do; each as its option says."""

    keep: Sequence[str] = ()
    shard_format: str | None = None
    shard_rows: int | None = None
    precision: str | None = None
    workers: int | None = None
    ray: str | None = None
    on_error: str | None = None
    resume: bool = True
    metrics_json: Path | None = None

    def refuse(self, output: str) -> None:
        """Raise where an option of a folder is given for a file."""
        for name, value in vars(self).items():
            if value not in (None, (), True):
                option = "--no-resume" if name == "resume" else f"--{name.replace('_', '-')}"
                raise CorpusError(f"{option} is for a folder of shards: give one with -o {Path(output).stem}/")


def is_folder(output: str) -> bool:
    """Tell a folder of shards, ``OUT/`` or a URL, from the name of a file."""
    return output.endswith(("/", os.sep)) or "://" in output or os.path.isdir(output)


def encode_folder(
    files: list[str],
    output: str,
    given: FolderOptions,
    model: str | None,
    *,
    prompt: Mapping[str, Any],
    dtype: str | None,
    device: str | None,
    settings: Mapping[str, Any],
    reading: Mapping[str, Any],
) -> None:
    """Embed into a folder of shards, or go on where an earlier run was stopped."""
    devices = device.split(",") if device else [None]
    for one in devices:
        check_device(one)
    prompt_options(**prompt)
    from prompteol.corpus.embed import run
    from prompteol.corpus.inputs import find_sources
    from prompteol.corpus.job import Job
    from prompteol.corpus.progress import Meter
    from prompteol.corpus.settings import ModelLoader, Settings, check_on_error
    from prompteol.corpus.shards import check_format

    chosen: dict[str, Any] = {
        "keep": tuple(given.keep),
        "output_format": given.shard_format or "parquet",
        "shard_rows": given.shard_rows or 100_000,
        "precision": given.precision or "float32",
    }
    job_settings = Settings(**settings, **chosen)
    check_on_error(given.on_error or "stop")
    check_format(chosen["output_format"])
    sources = tuple(find_sources(files, **reading))
    source = ModelLoader(model, {"prompt": dict(prompt), "dtype": dtype}, load_quietly)
    job = Job(source, sources, output, job_settings, given.on_error or "stop")  # type: ignore[arg-type]
    address = False if given.ray is None else given.ray or True
    with showing("embedding", given.metrics_json) as listener:
        meter = Meter(listener=listener)
        whole = run(job, devices, workers=given.workers, ray=address, resume=given.resume, meter=meter)
        _write_metrics(given.metrics_json, meter.progress())
    record = whole.record
    console.note(
        f"{output}: {record['rows']} vectors of {record['dimension']} dimensions, {record['precision']}, in "
        f"{len(record['shards'])} shards"
    )
    if record["errors"]:
        console.warning(f"{record['errors']} rows were left out; {Path(output) / 'errors.jsonl'} lists them")


def load_quietly(model: str | None, *, device: str | None, prompt: Mapping[str, Any], dtype: str | None) -> PromptEOL:
    """Load the model that the options describe; in other processes too."""
    return load_model(model, **prompt, device=device, dtype=dtype)


@contextmanager
def showing(label: str, metrics: Path | None = None) -> Iterator[Callable[[CorpusProgress], None]]:
    """Show rows and tokens a second and the time left: a bar on a terminal, a line now and then elsewhere."""
    err = Console(stderr=True)
    lines, written = Lines(), time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"))
    with Bar(*columns, console=err, disable=not err.is_terminal) as bar:
        task = bar.add_task(label, total=None, said="")

        def listen(progress: CorpusProgress) -> None:
            nonlocal written
            done = progress.rows + progress.resumed
            bar.update(task, completed=done, total=progress.total, said=_said(progress))
            if not err.is_terminal:
                lines.say(lambda: f"{label}: {_said(progress)}")
            if metrics is not None and time.monotonic() - written > _SECONDS_BETWEEN_METRICS:
                written = time.monotonic()
                _write_metrics(metrics, progress)

        yield listen


def _said(progress: CorpusProgress) -> str:
    said = pace(progress.rows + progress.resumed, progress.total, "texts", progress.rows_per_second)
    tokens = f", {progress.tokens_per_second:,.0f} tokens/s" if progress.tokens else ""
    return said + tokens + (f", {progress.errors} at fault" if progress.errors else "")


def _write_metrics(path: Path | None, progress: CorpusProgress) -> None:
    if path is not None:
        with atomic_write(path) as partial:
            partial.write_text(json.dumps(progress.metrics(), indent=2) + "\n", encoding="utf-8")
