"""Time methods in turns, so that whatever else the machine does slows all of them, and describe the machine."""

import gc
import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from prompteol.benchmark.profiling import OperationTimes
from prompteol.benchmark.ways import STOCK, Method
from prompteol.progress import Progress, no_progress

_TOKENS = 1024
_PACKAGES = ("prompteol", "torch", "transformers", "sentence-transformers")
_RESET = Path("/proc/self/clear_refs")


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
    cosine: float | None  # lowest one of a vector with stock's; None for another layer
    seconds: list[float] = field(default_factory=list)  # of each repeat
    gemm_rates: list[float] = field(default_factory=list)  # just before each repeat, in the method's dtype
    times_stock: list[float] = field(default_factory=list)  # stock's time over that of the method, by repeat
    time_shares: dict[str, float] = field(default_factory=dict)  # of matrix products, attention and others in one call

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
    """Let every method, of which one is stock, embed the same texts in turns, once untimed and then several times."""
    # The models of an earlier comparison would count as memory of this one.
    gc.collect()
    methods = list(methods)
    batch = list(texts)
    results, vectors = [], {}
    with progress(label, len(methods) * (2 + repeats), "runs") as advance:
        for method in methods:
            operations = _operations(method, batch)
            # Now without the counter's hooks: the engine repeats its equivalence check here, in no timed round.
            vectors[method.name] = nn.functional.normalize(method.encode(batch).float().cpu())
            results.append(_counted(method, batch, operations))
            advance(1)
        for method, result in zip(methods, results, strict=True):
            if method.comparable:
                own, stock = vectors[method.name], vectors[STOCK]
                result.difference = float((own - stock).abs().max())
                result.cosine = float((own * stock).sum(1).min())
        for _ in range(repeats):
            for method, result in zip(methods, results, strict=True):
                result.gemm_rates.append(_gemm_rate(method.backbone, clock))
                result.seconds.append(_seconds(partial(method.encode, batch), method.backbone.device, clock))
                advance(1)
        for method, result in zip(methods, results, strict=True):
            result.time_shares = _time_shares(partial(method.encode, batch), method.backbone.device, clock)
            advance(1)
    stock_seconds = next(result.seconds for result in results if result.name == STOCK)
    for result in results:
        result.times_stock = [stock / own for stock, own in zip(stock_seconds, result.seconds, strict=True)]
    return results


def describe_machine(device: torch.device) -> dict[str, object]:
    """Return what a reader needs to judge a figure: processor, threads, device, versions."""
    return {
        "processor": _linux("/proc/cpuinfo", "model name") or platform.processor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "python": platform.python_version(),
        **{package: version(package) for package in _PACKAGES},
    }


def _operations(method: Method, texts: list[str]) -> int:
    """Count floating-point operations in the second of two calls: the counter hooks modules, which is checked anew."""
    with FlopCounterMode(display=False) as flops:
        method.encode(texts)
        checked = flops.get_total_flops()
        method.encode(texts)
    counted: int = flops.get_total_flops() - checked
    return counted


def _counted(method: Method, texts: list[str], operations: int) -> Measurement:
    """Embed once to count tokens and see the memory."""
    _reset_peak_memory(method.backbone.device)
    with _TokenCount(method.backbone) as count:
        method.encode(texts)
    peak = _peak_memory(method.backbone.device)
    return Measurement(method.name, len(texts), count.tokens, operations, peak, None, None)


def _seconds(call: Callable[[], object], device: torch.device, clock: Callable[[], float]) -> float:
    """Time a call from when the device is idle until it is so again."""
    _wait(device)
    start = clock()
    call()
    _wait(device)
    return clock() - start


def _time_shares(call: Callable[[], object], device: torch.device, clock: Callable[[], float]) -> dict[str, float]:
    """Watch a call once; some microseconds an operation of what is Python's share are the watching's own."""
    times = OperationTimes(device, clock)
    with times:
        seconds = _seconds(call, device, clock)
    return times.shares(seconds)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


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


def _gemm_rate(backbone: nn.Module, clock: Callable[[], float]) -> float:
    """Measure how many floating-point operations a second the matrix products of a backbone's layers alone reach."""
    embeddings = {id(module.weight) for module in backbone.modules() if isinstance(module, nn.Embedding)}
    weights = [p.detach() for p in backbone.parameters() if p.ndim == 2 and id(p) not in embeddings]
    dtype, device = weights[0].dtype, weights[0].device
    widths = {weight.shape[1] for weight in weights}
    inputs = {width: torch.randn(_TOKENS, width, dtype=dtype, device=device) for width in widths}

    def multiply() -> None:
        for weight in weights:
            nn.functional.linear(inputs[weight.shape[1]], weight)

    return 2 * _TOKENS * sum(weight.numel() for weight in weights) / _seconds(multiply, device, clock)


def _reset_peak_memory(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif _RESET.exists():
        _RESET.write_text("5")


def _peak_memory(device: torch.device) -> float | None:
    """Return the peak memory in MiB: the accelerator's, or on Linux the process's; None where nobody reports it."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = _linux("/proc/self/status", "VmHWM") if _RESET.exists() else None
    return int(peak.split()[0]) / 1024 if peak else None


def _linux(file: str, name: str) -> str | None:
    """Return what stands behind a name and a colon in one of the files in which Linux describes itself."""
    lines = Path(file).read_text().splitlines() if Path(file).exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), None)
