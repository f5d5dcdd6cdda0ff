"""Which way to attend an engine uses: on a CPU what is known to be fast there, on CUDA what was timed and won.

Grouping by length is right everywhere and is used first. Variable-length attention is tried once for each device and
dtype, on a pack that was to be computed anyway; where it raises, or differs from the reference forward, it is left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from prompteol.errors import SettingError
from prompteol.inference.attention import Attention, GroupedAttention, VariableLengthAttention

__all__ = ["AttentionName", "KernelSelector", "Place", "seconds"]

AttentionName = Literal["auto", "sdpa", "varlen"]
Place = tuple[torch.device, torch.dtype]

# On a CPU grouping by length runs at 90 % of the machine's rate (docs/performance.md): nothing is left to win.
TIMED_ON = frozenset({"cuda"})
# What follows is a guess. Smaller packs than this say little about larger ones.
_TIMED_TOKENS = 2048


class KernelSelector:
    """Remember for each device and dtype which way to attend was the fastest, and which were tried.

    Args:
        attention: one way, or ``"auto"``.

    Raises:
        SettingError: when there is no such way.
    """

    def __init__(self, attention: AttentionName) -> None:
        if attention not in get_args(AttentionName):
            raise SettingError(
                f"attention={attention!r} is none of {', '.join(map(repr, get_args(AttentionName)))}; "
                "leave it out for the fastest"
            )
        self.attention = attention
        self._winner: dict[Place, Attention] = {}
        self._tried: set[Place] = set()

    def ready(self, place: Place) -> list[Attention]:
        """Return what may be used as soon as it has equalled the reference forward, best first."""
        if self.attention == "varlen":
            return [VariableLengthAttention()]
        grouped: list[Attention] = [GroupedAttention("sdpa"), GroupedAttention("eager")]
        return [self._winner[place], *grouped] if place in self._winner else grouped

    def due(self, place: Place, pack: int) -> list[Attention]:
        """Return what should be timed now; each is returned once.

        Args:
            place: where the backbone lies, and its dtype.
            pack: tokens of the pack that they would be timed on.
        """
        if self.attention != "auto" or place[0].type not in TIMED_ON or pack < _TIMED_TOKENS or place in self._tried:
            return []
        self._tried.add(place)
        return [VariableLengthAttention()]

    def settle(self, place: Place, winner: Attention) -> None:
        """Remember what was the fastest."""
        self._winner[place] = winner

    def unseat(self, place: Place, attention: Attention) -> bool:
        """Forget that a way was the fastest; return whether it was."""
        if self._winner.get(place) is not attention:
            return False
        del self._winner[place]
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
