"""Run ``prompteol benchmark``: time the ways to embed side by side on this machine."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from prompteol.cli import console
from prompteol.cli.model_options import ModelOptions
from prompteol.cli.options import (
    ColumnOption,
    DelimiterOption,
    DeviceOption,
    DtypeOption,
    ForceOption,
    FormatOption,
    ThreadsOption,
)
from prompteol.cli.progress import progress
from prompteol.files import TextSource, atomic_write, refuse_overwrite

if TYPE_CHECKING:
    from prompteol.benchmark import Measurement

__all__ = ["benchmark"]

# The paper's example of a demonstration, and none.
_DEMONSTRATIONS = ("none", "opt-2.7b")


def benchmark(
    *,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help="The folder or Hub name of a causal LM.",
            show_default="random ones of the shapes of OPT-125m and Qwen3-0.6B",
        ),
    ] = None,
    sentences: Annotated[
        str | None,
        typer.Option(
            "--sentences",
            metavar="FILE",
            help="The file of texts to embed: one a line, or a column of a table.",
            show_default="made up, with the lengths of STS-B's",
        ),
    ] = None,
    count: Annotated[
        int, typer.Option("--count", "-n", metavar="N", min=1, help="The number of sentences to embed.")
    ] = 96,
    repeats: Annotated[int, typer.Option("--repeats", metavar="N", min=1, help="The number of timed rounds.")] = 5,
    column: ColumnOption = None,
    format: FormatOption = None,
    delimiter: DelimiterOption = None,
    dtype: DtypeOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    processor_time: Annotated[
        bool,
        typer.Option(
            "--processor-time", help="Measure the CPU time of all threads; for a busy machine, with --threads 1."
        ),
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="The JSON file to write every figure to.")
    ] = None,
    force: ForceOption = False,
) -> None:
    """Compare prompteol with stock sentence-transformers and the authors' way."""
    texts = (
        list(islice(TextSource.open(sentences, format, column or (), delimiter=delimiter).texts(), count))
        if sentences
        else None
    )
    options = ModelOptions(layer="-1", dtype=dtype, device=device, threads=threads)
    options.check(model)
    if output:
        refuse_overwrite(output, force=force)
    from prompteol.benchmark import compare, describe_machine, methods
    from prompteol.benchmark import sentences as made_up

    options.use_threads()
    texts = texts or made_up(count)
    clock = time.process_time if processor_time else time.perf_counter
    runs: list[dict[str, Any]] = []
    for name, source in _sources(model):
        for demonstration in _DEMONSTRATIONS:
            loaded = replace(options, demonstration=[] if demonstration == "none" else [demonstration]).load(source)
            used = str(loaded.dtype).removeprefix("torch.")
            title = f"{name}, {used}, demonstration: {demonstration}"
            with console.waiting("building the models"):
                contestants = methods(source, loaded)
            results = compare(contestants, texts, repeats=repeats, clock=clock, label=title, progress=progress)
            console.show(_table(title, results))
            runs.append(
                {"model": name, "demonstration": demonstration, "results": [_figures(result) for result in results]}
            )
    if output:
        report = {
            "machine": describe_machine(loaded.device),
            "dtype": used,
            "clock": clock.__name__,
            "runs": runs,
        }
        with atomic_write(output, force=force) as partial:
            partial.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _sources(model: str | None) -> Iterator[tuple[str, str]]:
    """Give each model's name and where it lies; random ones are there only until the next."""
    if model:
        yield model, model
        return
    from prompteol.benchmark import SHAPES, build_shape

    for shape in SHAPES:
        with TemporaryDirectory() as folder:
            yield f"random {shape}", build_shape(shape, folder)


def _table(title: str, results: list[Measurement]) -> Table:
    table = Table(title=title)
    table.add_column("way")
    for column in (
        "sentences/s",
        "tokens",
        "tokens/s",
        "times stock (range)",
        "of GEMM rate",
        "peak MiB",
        "difference",
    ):
        table.add_column(column, justify="right")
    for result in results:
        ratio = result.ratio
        table.add_row(
            result.name,
            f"{result.sentences_per_second:.1f}",
            f"{result.tokens:,}",
            f"{result.tokens_per_second:,.0f}",
            f"{ratio.median:.2f} ({ratio.low:.2f}-{ratio.high:.2f})",
            f"{result.gemm_share.median:.0%}",
            "-" if result.peak_mebibytes is None else f"{result.peak_mebibytes:,.0f}",
            "-" if result.difference is None else f"{result.difference:.0e}",
        )
    return table


def _figures(result: Measurement) -> dict[str, Any]:
    return {
        **asdict(result),
        "sentences_per_second": result.sentences_per_second,
        "tokens_per_second": result.tokens_per_second,
        "ratio": asdict(result.ratio),
        "gemm_share": asdict(result.gemm_share),
    }
