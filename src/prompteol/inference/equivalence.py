"""Verify the packed forward against the reference forward, and fall back on a mismatch."""

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
from prompteol.inference.comparison import Comparison, compare_with
from prompteol.inference.counters import Counters
from prompteol.inference.kernel_selector import KernelSelector, Place, seconds
from prompteol.inference.packed_backbone import PackedBackbone
from prompteol.inference.packed_forward import PackedForward, Prefix
from prompteol.inference.packing import TokenRow, packs
from prompteol.inference.reference_forward import ReferenceForward
from prompteol.inference.structure import Structure, foreign_code
from prompteol.locks import Lock

__all__ = ["EquivalenceCheck", "describe"]

Roads = Callable[[Attention], PackedForward]

logger = logging.getLogger(__name__)


class EquivalenceCheck:
    """Hand out the packed forward for the rows for which it was found to equal the reference forward.

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
        kernels: KernelSelector,
    ) -> None:
        self.structure = structure
        self.reference = ReferenceForward(backbone, device)
        self._backbone = backbone
        self._device = device
        self._budget = budget
        self._counters = counters
        self._kernels = kernels
        self._packed_backbone: PackedBackbone | None = None
        self._attentions: list[Attention] | None = None
        self._refused = False
        self._checked_lengths: dict[tuple[Prefix, tuple[int, ...]], int] = {}
        self._lock = Lock()
        if foreign := foreign_code(backbone.modules()):
            self._refuse(f"{foreign} expects ordinary batches")

    def forward(self, prefix: Prefix, rows: Sequence[TokenRow], layers: tuple[int, ...]) -> PackedForward | None:
        """Return the packed forward for one call, or None where only the reference forward is right.

        A prefix and a set of layers are checked once, and again when a row is more than twice as long as any
        row before.

        Args:
            prefix: token ids that all rows start with.
            rows: token ids, sorted by length.
            layers: negative indices into ``hidden_states``.
        """
        with self._lock.held():
            # The check has run the prefix, and the call goes on with it.
            forwards = cast("Callable[[Attention], PackedForward]", cache(self._road))
            if not self._refused and not self._proven(prefix, rows, layers):
                self._check(forwards, prefix, rows, layers)
            if self._refused or not self._attentions or not self._proven(prefix, rows, layers):
                return None
            self._time_others(forwards, self._attentions, prefix, rows, layers)
            return forwards(self._attentions[0]) if self._attentions and self._proven(prefix, rows, layers) else None

    def _proven(self, prefix: Prefix, rows: Sequence[TokenRow], layers: tuple[int, ...]) -> bool:
        return len(rows[-1]) <= 2 * self._checked_lengths.get((prefix, layers), 0)

    def leave(self, forward: PackedForward, reason: str) -> None:
        """Go on without a way to attend that broke: with the next kernel, else by the reference forward."""
        with self._lock.held():
            if not self._attentions or forward.attention not in self._attentions:
                return
            if self._attentions[0] is forward.attention and self._kernels.unseat(self._place, forward.attention):
                logger.warning("attention %s is left out from now on: %s", forward.attention.name, reason)
                self._attentions, self._checked_lengths = self._attentions[1:], {}
            else:
                self._refuse(reason)

    def _refuse(self, reason: str) -> None:
        """Take the reference forward from now on, and say so once."""
        self._refused, self._attentions = True, None
        warnings.warn(
            f"{type(self._backbone).__name__} cannot be run with a shared prefix and without padding "
            f"({reason}); the ordinary forward is used instead: right, but slower",
            RuntimeWarning,
            stacklevel=2,
        )

    def _check(self, forwards: Roads, prefix: Prefix, rows: Sequence[TokenRow], layers: tuple[int, ...]) -> None:
        """Run the shortest row, the longest and half of the longest both ways."""
        shortest, longest = (tuple(row[len(prefix) :]) for row in (rows[0], rows[-1]))
        suffixes = sorted({shortest, longest, longest[: -(-len(longest) // 2)]}, key=len)
        comparison = self._reference_states(prefix, suffixes, layers)
        if comparison is None:
            return
        reasons = []
        try:
            if self._attentions is None:
                self._attentions = self._kernels.ready(self._place)
            for index, attention in enumerate(self._attentions):
                compute = partial(
                    self._budget.run, suffixes, partial(forwards(attention).states, prefix, entries=layers)
                )
                reason = self._difference(comparison, compute, sum(map(len, suffixes)))
                if not reason:
                    if index:
                        self._attentions, self._checked_lengths = self._attentions[index:], {}
                    self._checked_lengths[prefix, layers] = len(rows[-1])
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
        forwards: Roads,
        attentions: list[Attention],
        prefix: Prefix,
        rows: Sequence[TokenRow],
        layers: tuple[int, ...],
    ) -> None:
        """Go on with another way to attend if it equals the reference forward on a whole pack and is faster there.

        The one in use is left where it is seen to differ.
        """
        pack = packs([row[len(prefix) :] for row in rows], self._budget.tokens)[-1]
        others = self._kernels.due(self._place, sum(map(len, pack)))
        comparison = self._reference_states(prefix, pack, layers) if others else None
        if comparison is None:
            return
        took: dict[Attention, float] = {}
        wrong = ""
        for attention in (attentions[0], *others):
            # Not under the budget: memory that one of them lacks says nothing about the others.
            compute = partial(forwards(attention).states, prefix, pack, layers)
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
            self._checked_lengths = {(prefix, layers): len(rows[-1])}
            self._kernels.settle(self._place, fastest)
        elif wrong and attentions:
            self._attentions, self._checked_lengths = attentions, {}
        elif wrong:
            self._refuse(wrong)

    def _reference_states(
        self, prefix: Prefix, suffixes: Sequence[TokenRow], layers: tuple[int, ...]
    ) -> Comparison | None:
        def reference(rows: Sequence[TokenRow]) -> list[Tensor]:
            self._counters.add(check=len(rows) * max(map(len, rows)))
            return self._budget.run(rows, partial(self.reference.states, entries=layers))

        self._counters.add(checks=1)
        return compare_with(reference, [(*prefix, *rest) for rest in suffixes], layers)

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

    def _road(self, attention: Attention) -> PackedForward:
        if self._packed_backbone is None:
            self._packed_backbone = PackedBackbone(self._backbone)
        return PackedForward(self._packed_backbone, self._device, attention, self._counters)

    @property
    def _place(self) -> Place:
        return self._device, self._backbone.dtype


def describe(error: Exception) -> str:
    """Say in one line what went wrong."""
    return " ".join(f"{type(error).__name__}: {error}".split())
