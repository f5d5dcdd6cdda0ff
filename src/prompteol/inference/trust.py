"""Checked, then trusted: the fast road of one structure of the backbone, once it has equalled the stock road."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import cast

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
from prompteol.inference.structure import Structure, foreign_code
from prompteol.inference.twin import Twin
from prompteol.locks import Lock

__all__ = ["Trust", "describe"]

Roads = Callable[[Attention], PackedRoad]

logger = logging.getLogger(__name__)


class Trust:
    """Hand out the fast road for the rows for which it was found to equal the stock road.

    Args:
        structure: of the backbone, for which all of this holds.
        backbone: what ``AutoModel`` gives.
        device: where the input goes.
        budget: how many tokens are computed at once.
        counters: where checks are counted.
        choice: which ways to attend come into question.
    """

    def __init__(
        self,
        structure: Structure,
        backbone: PreTrainedModel,
        device: torch.device,
        budget: TokenBudget,
        counters: Counters,
        choice: Choice,
    ) -> None:
        self.structure = structure
        self.stock = StockRoad(backbone, device)
        self._backbone = backbone
        self._device = device
        self._budget = budget
        self._counters = counters
        self._choice = choice
        self._twin: Twin | None = None
        self._attentions: list[Attention] | None = None
        self._refused = False
        self._reach: dict[tuple[Prefix, tuple[int, ...]], int] = {}
        self._lock = Lock()
        if foreign := foreign_code(backbone.modules()):
            self._refuse(f"{foreign} expects ordinary batches")

    def road(self, prefix: Prefix, rows: Sequence[Row], layers: tuple[int, ...]) -> PackedRoad | None:
        """Return the fast road for one call, or None where only the stock road is right.

        A prefix and a set of layers are checked once, and again when a row is more than twice as long as any
        row before.

        Args:
            prefix: token ids that all rows start with.
            rows: token ids, sorted by length.
            layers: negative indices into ``hidden_states``.
        """
        with self._lock.held():
            # The check has run the prefix, and the call goes on with it.
            roads = cast("Callable[[Attention], PackedRoad]", cache(self._road))
            if not self._refused and not self._proven(prefix, rows, layers):
                self._check(roads, prefix, rows, layers)
            if self._refused or not self._attentions or not self._proven(prefix, rows, layers):
                return None
            self._time_others(roads, self._attentions, prefix, rows, layers)
            return roads(self._attentions[0]) if self._attentions and self._proven(prefix, rows, layers) else None

    def _proven(self, prefix: Prefix, rows: Sequence[Row], layers: tuple[int, ...]) -> bool:
        return len(rows[-1]) <= 2 * self._reach.get((prefix, layers), 0)

    def leave(self, road: PackedRoad, reason: str) -> None:
        """Go on without a way to attend that broke: with the one that it was faster than, else by the stock road."""
        with self._lock.held():
            if not self._attentions or road.attention not in self._attentions:
                return
            if self._attentions[0] is road.attention and self._choice.unseat(self._place, road.attention):
                logger.warning("attention %s is left out from now on: %s", road.attention.name, reason)
                self._attentions, self._reach = self._attentions[1:], {}
            else:
                self._refuse(reason)

    def _refuse(self, reason: str) -> None:
        """Take the stock road from now on, and say so once."""
        self._refused, self._attentions = True, None
        warnings.warn(
            f"{type(self._backbone).__name__} cannot be run with a shared prefix and without padding "
            f"({reason}); the ordinary forward is used instead: right, but slower",
            RuntimeWarning,
            stacklevel=2,
        )

    def _check(self, roads: Roads, prefix: Prefix, rows: Sequence[Row], layers: tuple[int, ...]) -> None:
        """Run the shortest row, the longest and half of the longest both ways."""
        shortest, longest = (tuple(row[len(prefix) :]) for row in (rows[0], rows[-1]))
        rests = sorted({shortest, longest, longest[: -(-len(longest) // 2)]}, key=len)
        comparison = self._stock_says(prefix, rests, layers)
        if comparison is None:
            return
        reasons = []
        try:
            if self._attentions is None:
                self._attentions = self._choice.ready(self._place)
            for index, attention in enumerate(self._attentions):
                compute = partial(self._budget.run, rests, partial(roads(attention).states, prefix, entries=layers))
                reason = self._difference(comparison, compute, sum(map(len, rests)))
                if not reason:
                    if index:
                        self._attentions, self._reach = self._attentions[index:], {}
                    self._reach[prefix, layers] = len(rows[-1])
                    return
                reasons.append(f"{attention.name}: {reason}")
                logger.debug("attention %s", reasons[-1])
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            reasons.append(describe(error))
        self._refuse("; ".join(reasons))

    def _time_others(
        self,
        roads: Roads,
        attentions: list[Attention],
        prefix: Prefix,
        rows: Sequence[Row],
        layers: tuple[int, ...],
    ) -> None:
        """Go on with another way to attend if it equals the stock road on a whole pack and is faster there.

        The one in use is left where it is seen to differ.
        """
        pack = packs([row[len(prefix) :] for row in rows], self._budget.tokens)[-1]
        others = self._choice.due(self._place, sum(map(len, pack)))
        comparison = self._stock_says(prefix, pack, layers) if others else None
        if comparison is None:
            return
        took: dict[Attention, float] = {}
        wrong = ""
        for attention in (attentions[0], *others):
            # Not under the budget: memory that one of them lacks says nothing about the others.
            compute = partial(roads(attention).states, prefix, pack, layers)
            try:
                reason = self._difference(comparison, compute, sum(map(len, pack)))
                if not reason:
                    took[attention] = seconds(compute)
                elif attention is attentions[0]:
                    wrong = reason
            except Exception as error:
                reason = describe(error)
            logger.debug("attention %s: %s", attention.name, reason or f"{took[attention]:.2e} s")
        fastest = min(took, key=took.__getitem__, default=attentions[0])
        attentions = attentions[1:] if wrong else attentions
        if fastest in took and fastest not in attentions[:1]:
            self._attentions = [fastest, *attentions]
            self._reach = {(prefix, layers): len(rows[-1])}
            self._choice.settle(self._place, fastest)
        elif wrong and attentions:
            self._attentions, self._reach = attentions, {}
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
        if self._twin is None:
            self._twin = Twin(self._backbone)
        return PackedRoad(self._twin, self._device, attention, self._counters)

    @property
    def _place(self) -> Place:
        return self._device, self._backbone.dtype


def describe(error: Exception) -> str:
    """Say in one line what went wrong."""
    return " ".join(f"{type(error).__name__}: {error}".split())
