"""Checked, then trusted: the fast road of one state of the weights, once it has equalled the stock road."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Hashable, Sequence
from functools import cached_property, partial

import torch
from torch import Tensor
from transformers import PreTrainedModel

from prompteol.inference.attention import Attention, UnsupportedError
from prompteol.inference.budget import TokenBudget
from prompteol.inference.choice import Choice, Place, seconds
from prompteol.inference.comparison import Comparison, compare_with
from prompteol.inference.counters import Counters
from prompteol.inference.packed import PackedRoad, Prefix
from prompteol.inference.packing import Row, packs
from prompteol.inference.stock import StockRoad
from prompteol.inference.twin import Twin

__all__ = ["Trust", "describe"]

logger = logging.getLogger(__name__)


class Trust:
    """Hand out the fast road for the rows for which it was found to equal the stock road.

    Args:
        state: of the weights, for which all of this holds.
        backbone: what ``AutoModel`` gives.
        device: where the input goes.
        budget: how many tokens are computed at once.
        counters: where checks are counted.
        cached_tokens: of prefixes that the fast road keeps.
        choice: which ways to attend come into question.
    """

    def __init__(
        self,
        state: Hashable,
        backbone: PreTrainedModel,
        device: torch.device,
        budget: TokenBudget,
        counters: Counters,
        cached_tokens: int,
        choice: Choice,
    ) -> None:
        self.state = state
        self.stock = StockRoad(backbone, device)
        self._backbone = backbone
        self._device = device
        self._budget = budget
        self._counters = counters
        self._cached_tokens = cached_tokens
        self._choice = choice
        self._roads: list[PackedRoad] | None = None
        self._refused = False
        self._reach: dict[tuple[Prefix, tuple[int, ...]], int] = {}
        self._lock = threading.RLock()

    def road(self, prefix: Prefix, rows: Sequence[Row], layers: tuple[int, ...]) -> PackedRoad | None:
        """Return the fast road, or None where only the stock road is right.

        A prefix and a set of layers are checked once, and again when a row is more than twice as long as any
        row before.

        Args:
            prefix: token ids that all rows start with.
            rows: token ids, sorted by length.
            layers: negative indices into ``hidden_states``.
        """
        with self._lock:
            if not self._refused and not self._proven(prefix, rows, layers):
                self._check(prefix, rows, layers)
            if self._refused or not self._roads or not self._proven(prefix, rows, layers):
                return None
            self._time_others(self._roads, prefix, rows, layers)
            return self._roads[0] if self._roads and self._proven(prefix, rows, layers) else None

    def _proven(self, prefix: Prefix, rows: Sequence[Row], layers: tuple[int, ...]) -> bool:
        return len(rows[-1]) <= 2 * self._reach.get((prefix, layers), 0)

    def leave(self, road: PackedRoad, reason: str) -> None:
        """Go on without a road that broke: with the one that it was faster than, else by the stock road."""
        with self._lock:
            if self._roads and self._roads[0] is road and self._choice.unseat(self._place, road.attention):
                logger.warning("attention %s is left out from now on: %s", road.attention.name, reason)
                self._roads, self._reach = self._roads[1:], {}
            elif self._roads and road in self._roads:
                self._refuse(reason)

    def _refuse(self, reason: str) -> None:
        """Take the stock road from now on, and say so once."""
        self._refused, self._roads = True, None
        warnings.warn(
            f"{type(self._backbone).__name__} cannot be run with a shared prefix and without padding "
            f"({reason}); the ordinary forward is used instead: right, but slower",
            RuntimeWarning,
            stacklevel=2,
        )

    def _check(self, prefix: Prefix, rows: Sequence[Row], layers: tuple[int, ...]) -> None:
        """Run the shortest row, the longest and half of the longest both ways."""
        shortest, longest = (tuple(row[len(prefix) :]) for row in (rows[0], rows[-1]))
        rests = sorted({shortest, longest, longest[: -(-len(longest) // 2)]}, key=len)
        comparison = self._stock_says(prefix, rests, layers)
        if comparison is None:
            return
        reasons = []
        try:
            if self._roads is None:
                self._roads = [self._road(attention) for attention in self._choice.ready(self._place)]
            for index, road in enumerate(self._roads):
                compute = partial(self._budget.run, rests, partial(road.states, prefix, entries=layers))
                reason = self._difference(comparison, compute, sum(map(len, rests)))
                if not reason:
                    if index:
                        self._roads, self._reach = self._roads[index:], {}
                    self._reach[prefix, layers] = len(rows[-1])
                    return
                reasons.append(f"{road.attention.name}: {reason}")
                logger.debug("attention %s", reasons[-1])
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            reasons.append(describe(error))
        self._refuse("; ".join(reasons))

    def _time_others(
        self, roads: list[PackedRoad], prefix: Prefix, rows: Sequence[Row], layers: tuple[int, ...]
    ) -> None:
        """Go on with another way to attend if it equals the stock road on a whole pack and is faster there.

        The one in use is left where it is seen to differ.
        """
        pack = packs([row[len(prefix) :] for row in rows], self._budget.tokens)[-1]
        others = self._choice.due(self._place, self._counters.text_tokens, sum(map(len, pack)))
        comparison = self._stock_says(prefix, pack, layers) if others else None
        if comparison is None:
            return
        took: dict[PackedRoad, float] = {}
        wrong = ""
        for road in (roads[0], *map(self._road, others)):
            # Not under the budget: memory that one of them lacks says nothing about the others.
            compute = partial(road.states, prefix, pack, layers)
            try:
                reason = self._difference(comparison, compute, sum(map(len, pack)))
                if not reason:
                    took[road] = seconds(compute)
                elif road is roads[0]:
                    wrong = reason
            except Exception as error:
                reason = describe(error)
            logger.debug("attention %s: %s", road.attention.name, reason or f"{took[road]:.2e} s")
        fastest = min(took, key=took.__getitem__, default=roads[0])
        roads = roads[1:] if wrong else roads
        if fastest in took and fastest not in roads[:1]:
            # Those that follow are made anew, so that no prefix is kept twice.
            self._roads = [fastest, *(self._road(road.attention) for road in roads)]
            self._reach = {(prefix, layers): len(rows[-1])}
            self._choice.settle(self._place, fastest.attention)
        elif wrong and roads:
            self._roads, self._reach = roads, {}
        elif wrong:
            self._refuse(wrong)

    def _stock_says(self, prefix: Prefix, rests: Sequence[Row], layers: tuple[int, ...]) -> Comparison | None:
        def stock(rows: Sequence[Row]) -> list[Tensor]:
            self._counters.add(check=len(rows) * max(map(len, rows)))
            return self._budget.run(rows, partial(self.stock.states, entries=layers))

        self._counters.add(checks=1)
        return compare_with(stock, [(*prefix, *rest) for rest in rests], layers)

    def _difference(self, comparison: Comparison, compute: Callable[[], list[Tensor]], tokens: int) -> str:
        """Describe how a road fails, or return nothing."""
        self._counters.add(check=tokens)
        try:
            return comparison.difference(compute())
        except (torch.OutOfMemoryError, UnsupportedError):
            raise
        except Exception as error:
            # For instance transformers' way to say that an attention function lacks something, soft-capping say.
            return describe(error)

    def _road(self, attention: Attention) -> PackedRoad:
        return PackedRoad(self._twin, self._device, attention, self._counters, self._cached_tokens)

    @cached_property
    def _twin(self) -> Twin:
        return Twin(self._backbone)

    @property
    def _place(self) -> Place:
        return self._device, self._backbone.dtype


def describe(error: Exception) -> str:
    """Say in one line what went wrong."""
    return " ".join(f"{type(error).__name__}: {error}".split())
