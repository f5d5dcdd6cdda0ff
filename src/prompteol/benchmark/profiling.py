"""Say where a call's time goes: matrix products, attention, copies, elementwise operations, Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

PRODUCTS, ATTENTION, COPIES, ELEMENTWISE, PYTHON = KINDS = (
    "matrix products", "attention", "copies", "elementwise", "Python"
)  # fmt: skip

_PRODUCTS = {"linear", "addmm", "mm", "matmul", "__matmul__", "bmm"}
_ATTENTION = {"scaled_dot_product_attention", "softmax"}
_COPIES = {
    "cat", "clone", "contiguous", "cpu", "embedding", "flatten", "gather", "index_select", "new_zeros", "repeat",
    "repeat_interleave", "reshape", "stack", "to", "zeros", "__getitem__", "__setitem__",
}  # fmt: skip


class OperationTimes(TorchFunctionMode):
    """Sum the time of torch's operations by kind, on a clock of the caller's.

    torch's own profiler reads the time of day, in which whatever else the machine does counts too.
    """

    def __init__(self, device: torch.device, clock: Callable[[], float]) -> None:
        super().__init__()
        self._device = device
        self._clock = clock
        self._seconds = dict.fromkeys(KINDS, 0.0)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        start = self._clock()
        result = func(*args, **(kwargs or {}))
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self._seconds[_kind(func, args, result)] += self._clock() - start
        return result

    def shares(self, seconds: float) -> dict[str, float]:
        """Return the share of each of ``KINDS`` in the seconds of the call; what is in no operation is Python."""
        spent = {**self._seconds, PYTHON: self._seconds[PYTHON] + seconds - self.total}
        return {kind: spent[kind] / seconds for kind in KINDS}

    @property
    def total(self) -> float:
        """The seconds in all operations."""
        return sum(self._seconds.values())


def _kind(function: Any, args: Any, result: Any) -> str:
    name = getattr(function, "__name__", "")
    if name in _PRODUCTS:
        # Those of attention have a batch and heads.
        return ATTENTION if args[0].ndim > 3 else PRODUCTS
    if name in _ATTENTION:
        return ATTENTION
    if name in _COPIES:
        return PYTHON if _is_view(args, result) else COPIES
    return ELEMENTWISE if isinstance(result, Tensor) and not _is_view(args, result) else PYTHON


def _is_view(args: Any, result: Any) -> bool:
    """Return whether a result is its input's memory seen another way; what was changed in place is none."""
    source = args[0] if args else None
    if result is None or result is source or not isinstance(source, Tensor):
        return False
    return bool(source.untyped_storage().data_ptr() == result.untyped_storage().data_ptr())
