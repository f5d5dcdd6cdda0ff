"""Describe the machine, and measure what it can do at most."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

_TOKENS = 1024
_RESET = Path("/proc/self/clear_refs")
_PACKAGES = ("prompteol", "torch", "transformers", "sentence-transformers")


def describe_machine(device: torch.device) -> dict[str, object]:
    """Return what a reader needs to judge a figure: processor, threads, device, versions."""
    return {
        "processor": _processor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "python": platform.python_version(),
        **{package: version(package) for package in _PACKAGES},
    }


def gemm_rate(backbone: nn.Module, clock: Callable[[], float] = time.perf_counter) -> float:
    """Measure how many floating-point operations a second the matrix products of a backbone's layers alone reach."""
    embeddings = {id(module.weight) for module in backbone.modules() if isinstance(module, nn.Embedding)}
    weights = [p.detach() for p in backbone.parameters() if p.ndim == 2 and id(p) not in embeddings]
    dtype, device = weights[0].dtype, weights[0].device
    widths = {weight.shape[1] for weight in weights}
    inputs = {width: torch.randn(_TOKENS, width, dtype=dtype, device=device) for width in widths}
    synchronize(device)
    start = clock()
    for weight in weights:
        nn.functional.linear(inputs[weight.shape[1]], weight)
    synchronize(device)
    return 2 * _TOKENS * sum(weight.numel() for weight in weights) / (clock() - start)


def synchronize(device: torch.device) -> None:
    """Wait until an accelerator has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def reset_peak_memory(device: torch.device) -> None:
    """Begin to measure :func:`peak_memory`."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif _RESET.exists():
        _RESET.write_text("5")


def peak_memory(device: torch.device) -> float | None:
    """Return the peak memory in MiB: the accelerator's, or on Linux the process's; None where nobody reports it."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if not _RESET.exists():
        return None
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
