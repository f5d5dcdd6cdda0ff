"""Register attention kernels under a name, and select the fastest that was found right.

Grouping by length is right everywhere and used first. On CUDA variable-length attention is tried once for each device
and dtype, on a pack that was to be computed anyway; where it raises or differs from the reference forward, it is left
out.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from prompteol.errors import SettingError
from prompteol.inference.attention import GroupedAttention, VariableLengthAttention
from prompteol.inference.context import Attention

Placement = tuple[torch.device, torch.dtype]

AUTO = "auto"
# On a CPU grouping by length runs at 90 % of the machine's rate (docs/performance.md): nothing is left to win.
TIMED_ON = frozenset({"cuda"})
# A guess: smaller packs than this say little about larger ones.
TIMED_TOKENS = 2048

_factories: dict[str, Callable[[], Attention]] = {
    "sdpa": lambda: GroupedAttention("sdpa"),
    "varlen": VariableLengthAttention,
}


def register_attention(name: str, factory: Callable[[], Attention]) -> None:
    """Make an attention kernel selectable by name.

    It is compared with the ordinary forward before its results are used, as our own kernels are, and left out with a
    warning where it differs.

    Args:
        name: what ``attention=`` takes. A registered kernel of that name is replaced.
        factory: returns the kernel; called once for each check of a backbone.

    Raises:
        SettingError: the name is empty or taken by one of ours.
    """
    if not name or name in (AUTO, "sdpa", "varlen"):
        raise SettingError(f"attention {name!r} cannot be registered: give a name of your own, such as 'my_kernel'")
    _factories[name] = factory


def check_attention(name: str) -> None:
    """Raise SettingError for a name that no kernel has."""
    if name not in (AUTO, *_factories):
        names = ", ".join(map(repr, (AUTO, *_factories)))
        raise SettingError(f"attention={name!r} is none of {names}: leave it out, or call prompteol.register_attention")


class KernelSelector:
    """Remember the fastest attention kernel of each device and dtype, where ``attention`` is ``"auto"``."""

    def __init__(self, attention: str) -> None:
        check_attention(attention)
        self.attention = attention
        #: Of where kernels were timed; None where the one used first remains.
        self.fastest: dict[Placement, Attention | None] = {}

    def candidates(self, placement: Placement) -> list[Attention]:
        """Return the kernels that may be used once they equal the reference forward, best first."""
        if self.attention not in (AUTO, "sdpa"):
            return [_factories[self.attention]()]
        fastest = self.fastest.get(placement)
        # Soft-capping and attention sinks are known to the architecture's eager function alone.
        return [*([fastest] if fastest else []), GroupedAttention("sdpa"), GroupedAttention("eager")]

    def worth_timing(self, placement: Placement) -> bool:
        """Return whether there are kernels to time on a device and dtype."""
        return self.attention == AUTO and placement[0].type in TIMED_ON and placement not in self.fastest


def seconds(compute: Callable[[], list[Tensor]]) -> float:
    """Return the shortest of three times, after one that does not count; the result's way to the CPU is in it."""
    times = []
    for _ in range(4):
        start = time.perf_counter()
        for states in compute():
            states.cpu()
        times.append(time.perf_counter() - start)
    return min(times[1:])
