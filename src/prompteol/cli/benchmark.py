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

from rich.table import Table

from prompteol.cli import console
from prompteol.cli import options as shared
from prompteol.cli.model_options import ModelOptions
from prompteol.cli.options import option
from prompteol.cli.progress import progress
from prompteol.files import TextSource, refuse_overwrite, write_text

if TYPE_CHECKING:
    from prompteol.benchmark import Measurement

# A prompt with the paper's example of a demonstration, and one without.
_DEMONSTRATIONS = ("none", "opt-2.7b")
_SHORT_TEXTS = 256


def benchmark(
    *,
    model: Annotated[
        str | None,
        option(
            "--model -m MODEL [random ones of the shapes of OPT-125m, Qwen3-0.6B and Gemma 3 270M]",
            "The folder or Hub name of a causal LM.",
        ),
    ] = None,
    sentences: Annotated[
        str | None,
        option(
            "--sentences FILE [made up, with the lengths of STS-B's]",
            "The file of texts to embed: one per line, or a column of a table.",
        ),
    ] = None,
    count: Annotated[int, option("--count -n N", "The number of sentences to embed.", min=1)] = 96,
    repeats: Annotated[int, option("--repeats N", "The number of timed rounds.", min=1)] = 5,
    column: shared.ColumnOption = None,
    format: shared.FormatOption = None,
    delimiter: shared.DelimiterOption = None,
    dtype: shared.DtypeOption = None,
    device: shared.DeviceOption = None,
    threads: shared.ThreadsOption = None,
    processor_time: Annotated[
        bool,
        option("--processor-time", "Measure the CPU time of all threads; use it with --threads 1 on a busy machine."),
    ] = False,
    output: Annotated[Path | None, option("--output -o FILE", "The JSON file to write every figure to.")] = None,
    force: shared.ForceOption = False,
) -> None:
    """Compare the speed of prompteol, stock sentence-transformers and the authors' code."""
    texts = None
    if sentences:
        source = TextSource.open(sentences, format, column or (), delimiter=delimiter)
        texts = list(islice(source.texts(), count))
    options = ModelOptions(layer="-1", dtype=dtype, device=device, threads=threads)
    options.check(model)
    if output:
        refuse_overwrite(output, force=force)
    from prompteol.benchmark import OURS, STOCK, compare, computes_bf16, describe_machine, methods, short_sentences
    from prompteol.benchmark import sentences as made_up

    options.use_threads()
    texts = texts or made_up(count)
    # One text shows the cost of a call besides the backbone; many short ones show the cost of a text.
    more = {"one text": texts[:1], f"{_SHORT_TEXTS} short texts": short_sentences(_SHORT_TEXTS)}
    clock = time.process_time if processor_time else time.perf_counter
    runs: list[dict[str, Any]] = []
    for name, folder in _sources(model):
        for demonstration in _DEMONSTRATIONS:
            loaded = replace(options, demonstration=[] if demonstration == "none" else [demonstration]).load(folder)
            used = str(loaded.dtype).removeprefix("torch.")
            title = f"{name}, {used}, demonstration: {demonstration}"
            with console.waiting("building the models"):
                contestants = list(methods(folder, loaded))
            results = compare(contestants, texts, repeats=repeats, clock=clock, label=title, progress=progress)
            pair = [method for method in contestants if method.name in (OURS, STOCK)]
            for label, batch in more.items():
                timed = compare(pair, batch, repeats=repeats, clock=clock, label=label, progress=progress)
                results += [replace(result, name=f"{result.name}, {label}") for result in timed]
            console.show(_table(title, results))
            for result in results[: len(contestants)]:
                console.show(_where_time_goes(result))
            runs.append({"model": name, "demonstration": demonstration, "results": list(map(_figures, results))})
    if used == "float32" and not computes_bf16(loaded.device):
        console.show("bf16 was left out: this processor has no instruction for it (AMX, AVX512-BF16)")
    if output:
        machine = describe_machine(loaded.device)
        report = {"machine": machine, "dtype": used, "clock": clock.__name__, "runs": runs}
        write_text(output, json.dumps(report, indent=2) + "\n", force=force)


def _sources(model: str | None) -> Iterator[tuple[str, str]]:
    """Yield each model's name and folder; a random model is deleted when the next one is asked for."""
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
    counts = ("sentences/s", "tokens", "tokens/s", "times stock (range)", "of GEMM rate", "peak MiB")
    for figure in (*counts, "difference", "cosine"):
        table.add_column(figure, justify="right")
    for result in results:
        ratio = result.ratio
        counted = f"{result.sentences_per_second:.1f}", f"{result.tokens:,}", f"{result.tokens_per_second:,.0f}"
        shares = f"{ratio.median:.2f} ({ratio.low:.2f}-{ratio.high:.2f})", f"{result.gemm_share.median:.0%}"
        peak = "-" if result.peak_mebibytes is None else f"{result.peak_mebibytes:,.0f}"
        difference = "-" if result.difference is None else f"{result.difference:.0e}"
        cosine = "-" if result.cosine is None else f"{result.cosine:.5f}"
        table.add_row(result.name, *counted, *shares, peak, difference, cosine)
    return table


def _where_time_goes(result: Measurement) -> str:
    shares = ", ".join(f"{kind} {share:.0%}" for kind, share in result.time_shares.items())
    return f"{result.name}: {shares}"


def _figures(result: Measurement) -> dict[str, Any]:
    derived = {name: getattr(result, name) for name in ("sentences_per_second", "tokens_per_second")}
    return {**asdict(result), **derived, "ratio": asdict(result.ratio), "gemm_share": asdict(result.gemm_share)}
