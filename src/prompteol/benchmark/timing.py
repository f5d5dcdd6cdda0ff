"""Time contestants in turns, so that whatever else the machine does falls on all of them."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median

from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from prompteol.benchmark.machine import gemm_rate, peak_memory, synchronize
from prompteol.benchmark.methods import STOCK, Method
from prompteol.progress import Progress, no_progress

__all__ = ["Result", "Spread", "race"]


@dataclass(frozen=True)
class Spread:
    """A figure over interleaved repeats.

    Args:
        median: of all repeats.
        low: the smallest.
        high: the largest.
    """

    median: float
    low: float
    high: float


@dataclass
class Result:
    """What one contestant did.

    Args:
        name: of the contestant.
        texts: how many were embedded each time.
        tokens: that went through the backbone each time, padding included, what was cached before not.
        operations: floating-point operations of its matrix products and attention each time.
        peak_mebibytes: the most memory in use while it ran.
        difference: largest distance of a unit vector's entry from stock's; None for another layer.
        seconds: of each repeat.
        gemm_rates: of the machine just before each repeat, in the contestant's dtype, operations a second.
        times_stock: stock's time over this one's, by repeat.
    """

    name: str
    texts: int
    tokens: int
    operations: int
    peak_mebibytes: float | None
    difference: float | None
    seconds: list[float] = field(default_factory=list)
    gemm_rates: list[float] = field(default_factory=list)
    times_stock: list[float] = field(default_factory=list)

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


def race(
    entrants: Iterable[Method],
    texts: Sequence[str],
    *,
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
    label: str = "benchmark",
    progress: Progress = no_progress,
) -> list[Result]:
    """Let every contestant embed the same texts several times, in turns.

    Args:
        entrants: one of them is stock.
        texts: to embed.
        repeats: timed rounds, after one that is not timed.
        clock: in seconds; ``time.process_time`` leaves out what other processes take.
        label: what the stage is called.
        progress: told of every time that a contestant embeds the texts.
    """
    # The models of an earlier race would count as this one's memory.
    gc.collect()
    everybody = list(entrants)
    batch = list(texts)
    results, vectors = [], {}
    with progress(label, len(everybody) * (1 + repeats), "runs") as advance:
        for entrant in everybody:
            vectors[entrant.name] = nn.functional.normalize(entrant.encode(batch).float().cpu())
            results.append(_counted(entrant, batch))
            advance(1)
        for entrant, result in zip(everybody, results, strict=True):
            if entrant.comparable:
                result.difference = float((vectors[entrant.name] - vectors[STOCK]).abs().max())
        for _ in range(repeats):
            for entrant, result in zip(everybody, results, strict=True):
                result.gemm_rates.append(gemm_rate(entrant.backbone, clock))
                result.seconds.append(_seconds(entrant, batch, clock))
                advance(1)
    stock_seconds = next(result.seconds for result in results if result.name == STOCK)
    for result in results:
        result.times_stock = [stock / own for stock, own in zip(stock_seconds, result.seconds, strict=True)]
    return results


def _counted(entrant: Method, texts: list[str]) -> Result:
    """Embed once to count operations, once to count tokens and see the memory."""
    with FlopCounterMode(display=False) as flops:
        entrant.encode(texts)
    with _tokens_through(entrant.backbone) as tokens, peak_memory(entrant.backbone.device) as peak:
        entrant.encode(texts)
    return Result(entrant.name, len(texts), sum(tokens), flops.get_total_flops(), peak.mebibytes, None)


def _seconds(entrant: Method, texts: list[str], clock: Callable[[], float]) -> float:
    synchronize(entrant.backbone.device)
    start = clock()
    entrant.encode(texts)
    synchronize(entrant.backbone.device)
    return clock() - start


@contextmanager
def _tokens_through(backbone: nn.Module) -> Iterator[list[int]]:
    """Count the token ids that a backbone looks up; the shared-prefix engine looks them up in the same module."""
    seen: list[int] = []

    def count(_: nn.Module, inputs: tuple[Tensor, ...], __: Tensor) -> None:
        seen.append(inputs[0].numel())

    hook = backbone.get_input_embeddings().register_forward_hook(count)  # type: ignore[operator]
    try:
        yield seen
    finally:
        hook.remove()


def _spread(values: Sequence[float]) -> Spread:
    return Spread(median(values), min(values), max(values))
