"""Every touch of a dependency that its public interface does not promise, one function each, with a canary test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import nn
from torch.nn.modules import module as torch_module

__all__ = ["forward_hooks"]


def forward_hooks(module: nn.Module | None) -> Iterator[Callable[..., Any]]:
    """Yield the hooks around a module's forward; of ``None`` those around every module's, in torch's tables."""
    where, prefix = (torch_module, "_global_") if module is None else (module, "_")
    for kind in ("forward_pre_hooks", "forward_hooks"):
        yield from getattr(where, prefix + kind).values()
