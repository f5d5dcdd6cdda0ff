"""Verify the packed forward against the reference forward and fall back on mismatch."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import cast

import torch
from torch import Tensor
from transformers import PreTrainedModel

from prompteol.inference.attention import TIMED_TOKENS, KernelSelector, Placement, VariableLengthAttention, seconds
from prompteol.inference.comparison import Comparison, compare_with
from prompteol.inference.context import Attention, UnsupportedError
from prompteol.inference.packed_forward import PackedBackbone, PackedForward, Prefix
from prompteol.inference.packing import Counters, TokenBudget, TokenRow, packs
from prompteol.inference.pooling import LAST_TOKEN, TokenPooling
from prompteol.inference.reference_forward import input_device, reference_states
from prompteol.inference.structure import Structure, foreign_code
from prompteol.inference.within_layers import Edit, Read, current_edit
from prompteol.locks import Lock

MakeForward = Callable[[Attention], PackedForward]
Layers = tuple[int | Read, ...]

logger = logging.getLogger(__name__)


class EquivalenceCheck:
    """Hand out the packed forward for the rows for which it was found to equal the reference forward."""

    def __init__(
        self,
        structure: Structure,
        backbone: PreTrainedModel,
        budget: TokenBudget,
        counters: Counters,
        kernels: KernelSelector,
        pooling: TokenPooling = LAST_TOKEN,
    ) -> None:
        self.structure = structure
        self.backbone = backbone
        self._budget = budget
        self._counters = counters
        self._kernels = kernels
        self.pooling = pooling
        self._packed_backbone: PackedBackbone | None = None
        self.attentions: list[Attention] | None = None
        self.refused = False
        self._checked_lengths: dict[tuple[int, Layers, Edit | None], int] = {}
        self.lock = Lock()
        if foreign := foreign_code(backbone.modules()):
            self.refuse(f"{foreign} expects ordinary batches")

    def forward(self, prefix: Prefix, rows: Sequence[TokenRow], layers: Layers) -> PackedForward | None:
        """Return the packed forward for one call, or None where only the reference forward is right.

        A set of layers is checked once without a prefix, once with one, which all rows start with, and again when the
        prefix or a row is more than twice as long as any before. The rows are sorted by length.
        """
        with self.lock.locked():
            # The check has run the prefix, and the call goes on with it.
            forwards = cast("MakeForward", cache(self.make_forward))
            if not self.refused and not self.proven(prefix, rows, layers):
                self.verify(forwards, prefix, rows, layers)
            if self.refused or not self.attentions or not self.proven(prefix, rows, layers):
                return None
            self._time_varlen(forwards, self.attentions, prefix, rows, layers)
            return forwards(self.attentions[0]) if self.attentions and self.proven(prefix, rows, layers) else None

    def proven(self, prefix: Prefix, rows: Sequence[TokenRow], layers: Layers) -> bool:
        """Return whether rows like these, no more than twice as long, were found equal."""
        return len(rows[-1]) <= 2 * self._checked_lengths.get((_magnitude(prefix), layers, current_edit()), 0)

    def leave(self, forward: PackedForward, reason: str) -> None:
        """Go on without an attention kernel that broke: with the next one, else by the reference forward."""
        with self.lock.locked():
            kernel, fastest = forward.attention, self._kernels.fastest
            if not self.attentions or kernel not in self.attentions:
                return
            if self.attentions[0] is kernel and fastest.get(self._placement) is kernel:
                fastest[self._placement] = None
                logger.warning("attention %s is left out from now on: %s", kernel.name, reason)
                self.attentions, self._checked_lengths = self.attentions[1:], {}
            else:
                self.refuse(reason)

    def refuse(self, reason: str) -> None:
        """Take the reference forward from now on, and warn once."""
        self.refused, self.attentions = True, None
        warnings.warn(
            f"{type(self.backbone).__name__} cannot be run with a shared prefix and without padding "
            f"({reason}); the reference forward is used instead: right, but slower",
            RuntimeWarning,
            stacklevel=2,
        )

    def verify(self, forwards: MakeForward, prefix: Prefix, rows: Sequence[TokenRow], layers: Layers) -> None:
        """Run the shortest row, the longest and half of the longest both ways."""
        shortest, longest = (tuple(row[len(prefix) :]) for row in (rows[0], rows[-1]))
        suffixes = sorted({shortest, longest, longest[: -(-len(longest) // 2)]}, key=len)
        comparison = self.comparison(prefix, suffixes, layers)
        if comparison is None:
            return
        reasons = []
        try:
            if self.attentions is None:
                self.attentions = self._kernels.candidates(self._placement)
            for index, attention in enumerate(self.attentions):
                states = partial(forwards(attention).states, prefix, layers=layers)
                reason = self._difference(comparison, partial(self._budget.run, suffixes, states), suffixes)
                if not reason:
                    if index:
                        self.attentions, self._checked_lengths = self.attentions[index:], {}
                    self._checked_lengths[_magnitude(prefix), layers, current_edit()] = len(rows[-1])
                    return
                reasons.append(f"{attention.name}: {reason}")
                logger.debug("attention %s", reasons[-1])
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            reasons.append(describe(error))
        self.refuse("; ".join(reasons))

    def _time_varlen(
        self,
        forwards: MakeForward,
        attentions: list[Attention],
        prefix: Prefix,
        rows: Sequence[TokenRow],
        layers: Layers,
    ) -> None:
        """Go on with varlen if it is right on a whole pack and faster; leave the kernel in use if that differs."""
        if not self._kernels.worth_timing(self._placement):
            return
        pack = packs([row[len(prefix) :] for row in rows], self._budget.tokens)[-1]
        if sum(map(len, pack)) < TIMED_TOKENS:
            return
        self._kernels.fastest[self._placement] = None
        comparison = self.comparison(prefix, pack, layers)
        if comparison is None:
            return
        durations: dict[Attention, float] = {}
        wrong = ""
        for attention in (attentions[0], VariableLengthAttention()):
            # Not under the budget: memory that one of them lacks says nothing about the other.
            compute = partial(forwards(attention).states, prefix, pack, layers)
            try:
                reason = self._difference(comparison, compute, pack)
                if not reason:
                    durations[attention] = seconds(compute)
                elif attention is attentions[0]:
                    wrong = reason
            except Exception as error:
                reason = describe(error)
            logger.debug("attention %s: %s", attention.name, reason or f"{durations[attention]:.2e} s")
        fastest = min(durations, key=durations.__getitem__, default=attentions[0])
        attentions = attentions[1:] if wrong else attentions
        if fastest in durations and fastest not in attentions[:1]:
            self.attentions = [fastest, *attentions]
            self._checked_lengths = {(_magnitude(prefix), layers, current_edit()): len(rows[-1])}
            self._kernels.fastest[self._placement] = fastest
        elif wrong and attentions:
            self.attentions, self._checked_lengths = attentions, {}
        elif wrong:
            self.refuse(wrong)

    def comparison(self, prefix: Prefix, suffixes: Sequence[TokenRow], layers: Layers) -> Comparison | None:
        """Run the reference forward; return what the packed one must equal, or None where a state is not finite."""

        def reference(rows: Sequence[TokenRow]) -> list[Tensor]:
            self._counters.add(check_tokens=len(rows) * max(map(len, rows)))
            return self._budget.run(rows, partial(reference_states, self.backbone, layers=layers, pooling=self.pooling))

        self._counters.add(checks=1)
        return compare_with(reference, [(*prefix, *suffix) for suffix in suffixes], layers)

    def _difference(
        self, comparison: Comparison, compute: Callable[[], list[Tensor]], suffixes: Sequence[TokenRow]
    ) -> str:
        """Describe how a forward fails; return ``""`` where it does not."""
        self._counters.add(check_tokens=sum(map(len, suffixes)))
        try:
            return comparison.difference(compute())
        except (torch.OutOfMemoryError, UnsupportedError):
            raise
        except Exception as error:
            # For instance transformers' way to say that an attention function lacks something, soft-capping say.
            return describe(error)

    def make_forward(self, attention: Attention) -> PackedForward:
        """Return the packed forward for one call."""
        if self._packed_backbone is None:
            self._packed_backbone = PackedBackbone(self.backbone)
        return PackedForward(self._packed_backbone, attention, self._counters, self.pooling)

    @property
    def _placement(self) -> Placement:
        return input_device(self.backbone), self.backbone.dtype


def _magnitude(prefix: Prefix) -> int:
    """Return the same for prefixes that differ in length by less than twice: what their tokens are is no structure."""
    return len(prefix).bit_length()


def describe(error: Exception) -> str:
    """Describe an error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
