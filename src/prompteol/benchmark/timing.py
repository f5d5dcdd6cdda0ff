"""Time methods in turns, so that whatever else the machine does slows all of them."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from prompteol.benchmark.machine import gemm_rate, peak_memory, reset_peak_memory, synchronize
from prompteol.benchmark.methods import STOCK, Method
from prompteol.progress import Progress, no_progress


@dataclass(frozen=True)
class Spread:
    """Hold the median and range of a figure over interleaved repeats."""

    median: float
    low: float
    high: float


@dataclass
class Measurement:
    """Hold the figures of one method."""

    name: str
    texts: int  # embedded each time
    tokens: int  # through the backbone each time, padding included, what was cached before not
    operations: int  # floating-point operations of its matrix products and attention each time
    peak_mebibytes: float | None  # the most memory in use while it ran
    difference: float | None  # largest distance of a unit vector's entry from stock's; None for another layer
    seconds: list[float] = field(default_factory=list)  # of each repeat
    gemm_rates: list[float] = field(default_factory=list)  # just before each repeat, in the method's dtype
    times_stock: list[float] = field(default_factory=list)  # stock's time over that of the method, by repeat

    @property
    def sentences_per_second(self) -> float:
        """Texts embedded a second, in the median repeat."""
        return self.texts / median(self.seconds)

    @property
    def tokens_per_second(self) -> float:
        """Tokens computed a second, in the median repeat."""
        return self.tokens / median(self.seconds)

    @property
    def ratio(self) -> Spread:
        """How many times as fast as stock."""
        return _spread(self.times_stock)

    @property
    def gemm_share(self) -> Spread:
        """Its rate of operations as a share of what matrix products alone reach."""
        pairs = zip(self.seconds, self.gemm_rates, strict=True)
        return _spread([self.operations / seconds / rate for seconds, rate in pairs])


def compare(
    methods: Iterable[Method],
    texts: Sequence[str],
    *,
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
    label: str = "benchmark",
    progress: Progress = no_progress,
) -> list[Measurement]:
    """Let every method, of which one is stock, embed the same texts several times, in turns.

    One more round, before the others, is not timed. With ``time.process_time`` as the clock, what other processes take
    is left out.
    """
    # The models of an earlier comparison would count as memory of this one.
    gc.collect()
    methods = list(methods)
    batch = list(texts)
    results, vectors = [], {}
    with progress(label, len(methods) * (1 + repeats), "runs") as advance:
        for method in methods:
            vectors[method.name] = nn.functional.normalize(method.encode(batch).float().cpu())
            results.append(_counted(method, batch))
            advance(1)
        for method, result in zip(methods, results, strict=True):
            if method.comparable:
                result.difference = float((vectors[method.name] - vectors[STOCK]).abs().max())
        for _ in range(repeats):
            for method, result in zip(methods, results, strict=True):
                result.gemm_rates.append(gemm_rate(method.backbone, clock))
                result.seconds.append(_seconds(method, batch, clock))
                advance(1)
    stock_seconds = next(result.seconds for result in results if result.name == STOCK)
    for result in results:
        result.times_stock = [stock / own for stock, own in zip(stock_seconds, result.seconds, strict=True)]
    return results


def _counted(method: Method, texts: list[str]) -> Measurement:
    """Embed once to count tokens and see the memory, and twice to count operations."""
    reset_peak_memory(method.backbone.device)
    with _TokenCount(method.backbone) as count:
        method.encode(texts)
    peak = peak_memory(method.backbone.device)
    # The counter hooks every module, so the engine repeats its equivalence check in the first of these.
    with FlopCounterMode(display=False) as flops:
        method.encode(texts)
        checked = flops.get_total_flops()
        method.encode(texts)
    operations = flops.get_total_flops() - checked
    return Measurement(method.name, len(texts), count.tokens, operations, peak, None)


def _seconds(method: Method, texts: list[str], clock: Callable[[], float]) -> float:
    synchronize(method.backbone.device)
    start = clock()
    method.encode(texts)
    synchronize(method.backbone.device)
    return clock() - start


class _TokenCount(TorchFunctionMode):
    """Count the token ids that are looked up in a backbone's embeddings; a hook would force the reference forward."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.weight = backbone.get_input_embeddings().weight  # type: ignore[operator]
        self.tokens = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is nn.functional.embedding and args[1] is self.weight:
            self.tokens += args[0].numel()
        return func(*args, **(kwargs or {}))


def _spread(values: Sequence[float]) -> Spread:
    return Spread(median(values), min(values), max(values))
