"""Select the attention kernel: grouping by length on a CPU, and on CUDA the fastest that was found right.

Grouping by length is right everywhere and is used first. Variable-length attention is tried once for each device and
dtype, on a pack that was to be computed anyway. Where it raises, or differs from the reference forward, it is left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from prompteol.inference.attention import AUTO, Attention, VariableLengthAttention, attention_kernels, check_attention

__all__ = ["KernelSelector", "Placement", "seconds"]

Placement = tuple[torch.device, torch.dtype]

# On a CPU grouping by length runs at 90 % of the machine's rate (docs/performance.md): nothing is left to win.
TIMED_ON = frozenset({"cuda"})
# What follows is a guess. Smaller packs than this say little about larger ones.
_TIMED_TOKENS = 2048


class KernelSelector:
    """Remember the fastest attention kernel of each device and dtype.

    Args:
        attention: the name of one kernel, or ``"auto"``.

    Raises:
        SettingError: no kernel has that name.
    """

    def __init__(self, attention: str) -> None:
        check_attention(attention)
        self.attention = attention
        self._fastest: dict[Placement, Attention] = {}
        self._timed: set[Placement] = set()

    def candidates(self, placement: Placement) -> list[Attention]:
        """Return the kernels that may be used once they equal the reference forward, best first."""
        kernels = attention_kernels(self.attention)
        return [self._fastest[placement], *kernels] if placement in self._fastest else kernels

    def worth_timing(self, placement: Placement) -> bool:
        """Return whether there are kernels to time on a device and dtype."""
        return self.attention == AUTO and placement[0].type in TIMED_ON and placement not in self._timed

    def to_time(self, placement: Placement, tokens: int) -> list[Attention]:
        """Return the kernels that should be timed now; each is returned once.

        Args:
            placement: device and dtype of the backbone.
            tokens: of the pack that they would be timed on.
        """
        if tokens < _TIMED_TOKENS or not self.worth_timing(placement):
            return []
        self._timed.add(placement)
        return [VariableLengthAttention()]

    def set_fastest(self, placement: Placement, attention: Attention) -> None:
        """Remember which kernel was the fastest."""
        self._fastest[placement] = attention

    def forget_fastest(self, placement: Placement, attention: Attention) -> bool:
        """Forget that a kernel was the fastest; return whether it was."""
        if self._fastest.get(placement) is not attention:
            return False
        del self._fastest[placement]
        return True


def seconds(compute: Callable[[], list[Tensor]]) -> float:
    """Return the shortest of three times, after one that does not count; the result's way to the CPU is in it."""

    def once() -> float:
        start = time.perf_counter()
        for states in compute():
            states.cpu()
        return time.perf_counter() - start

    once()
    return min(once() for _ in range(3))
