"""``prompteol benchmark``: how fast the ways to embed are on this machine, side by side in one run."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from prompteol.cli import console
from prompteol.cli.options import ColumnOption, DelimiterOption, ForceOption, ThreadsOption, check_model, use_threads
from prompteol.cli.progress import progress
from prompteol.files import TextSource, atomic_write, refuse_overwrite

if TYPE_CHECKING:
    from prompteol.benchmark import Result
    from prompteol.sentence_transformers import PromptEOL

__all__ = ["benchmark"]

# The paper's example of a demonstration, and none.
_DEMONSTRATIONS = ("none", "opt-2.7b")


def benchmark(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="A causal LM: folder or Hub name.",
            show_default="random ones of the shapes of OPT-125m and Qwen3-0.6B",
        ),
    ] = None,
    sentences: Annotated[
        str | None,
        typer.Option(
            "--sentences",
            metavar="FILE",
            help="Texts: one a line, or a table's column text, or its only one.",
            show_default="made up, with the lengths of STS-B's",
        ),
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", metavar="N", min=1, help="How many sentences.")] = 96,
    repeats: Annotated[int, typer.Option("--repeats", metavar="N", min=1, help="Timed rounds.")] = 5,
    column: ColumnOption = None,
    delimiter: DelimiterOption = None,
    threads: ThreadsOption = None,
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"], typer.Option("--dtype", help="Of everybody.")
    ] = "float32",
    processor_time: Annotated[
        bool,
        typer.Option("--processor-time", help="Add up the time of all threads: for a busy machine, with --threads 1."),
    ] = False,
    device: Annotated[str, typer.Option("--device", metavar="DEVICE", help="Such as cpu or cuda.")] = "cpu",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write every figure here, as JSON.")
    ] = None,
    force: ForceOption = False,
) -> None:
    """Compare prompteol with stock sentence-transformers, the authors' way, and llemb where it is installed."""
    texts = (
        list(islice(TextSource.open(sentences, None, column or (), delimiter=delimiter).texts(), count))
        if sentences
        else None
    )
    check_model(model, device=device)
    if output:
        refuse_overwrite(output, force=force)
    import torch

    from prompteol.benchmark import describe_machine, methods, race
    from prompteol.benchmark import sentences as made_up

    use_threads(threads)
    texts = texts or made_up(count)
    clock = time.process_time if processor_time else time.perf_counter
    runs: list[dict[str, Any]] = []
    for name, source in _sources(model):
        for demonstration in _DEMONSTRATIONS:
            title = f"{name}, {dtype}, demonstration: {demonstration}"
            with console.waiting("building the models"):
                entrants = methods(source, _load(source, demonstration, dtype, device))
            results = race(entrants, texts, repeats=repeats, clock=clock, label=title, progress=progress)
            console.show(_table(title, results))
            runs.append(
                {"model": name, "demonstration": demonstration, "results": [_figures(result) for result in results]}
            )
    if output:
        report = {
            "machine": describe_machine(torch.device(device)),
            "dtype": dtype,
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


def _load(source: str, demonstration: str, dtype: str, device: str) -> PromptEOL:
    import torch

    from prompteol.sentence_transformers import PromptEOL

    return PromptEOL(
        source,
        demonstrations=() if demonstration == "none" else demonstration,
        layer=-1,
        device=device,
        model_kwargs={"dtype": getattr(torch, dtype)},
    )


def _table(title: str, results: list[Result]) -> Table:
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


def _figures(result: Result) -> dict[str, Any]:
    return {
        **asdict(result),
        "sentences_per_second": result.sentences_per_second,
        "tokens_per_second": result.tokens_per_second,
        "ratio": asdict(result.ratio),
        "gemm_share": asdict(result.gemm_share),
    }
