"""The packed forward of one call: a shared prefix computed once, what follows it without padding."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor, nn

from prompteol.inference.attention import Attention, ForwardContext, KeyValue
from prompteol.inference.counters import Counters
from prompteol.inference.packed_backbone import PackedBackbone
from prompteol.inference.packing import TokenRow

__all__ = ["PackedForward", "Prefix"]

Prefix = tuple[int, ...]


class PackedForward:
    """Compute last-token states of rows that share a prefix, with no padding and no layer too many.

    A prefix runs in front of the first pack that has it; its keys and values serve the packs that follow. So this
    object is for one call: the weights may change after it.

    Args:
        twin: of the backbone.
        device: where the input goes.
        attention: how texts attend.
        counters: where the prefixes' tokens are counted.
    """

    def __init__(
        self, packed_backbone: PackedBackbone, device: torch.device, attention: Attention, counters: Counters
    ) -> None:
        self._packed_backbone = packed_backbone
        self._device = device
        self.attention = attention
        self._counters = counters
        self._known: dict[tuple[Prefix, int], dict[nn.Module, KeyValue]] = {}

    def states(self, prefix: Prefix, suffixes: Sequence[TokenRow], entries: Sequence[int]) -> list[Tensor]:
        """Return entries of ``hidden_states`` at each row's last token, (rows, width) each.

        Args:
            prefix: token ids that every row starts with; may be empty.
            rests: the token ids that follow it in each row, at least one; sorted by length.
            entries: negative indices into ``hidden_states``.
        """
        wanted = [entry + self._packed_backbone.depth + 1 for entry in entries]
        depth = max(wanted)
        known = self._known.get((prefix, depth))
        opening = self._pass([len(prefix)], depth) if prefix and known is None else None
        context = self._pass([len(rest) for rest in suffixes], depth, known, len(prefix), frozenset(wanted), opening)
        tokens = [*(prefix if opening else ()), *chain.from_iterable(suffixes)]
        kept = self._packed_backbone.run(
            context,
            torch.tensor([tokens], device=self._device),
            torch.tensor([context.positions], device=self._device),
        )
        if opening:
            self._known[prefix, depth] = context.prefix
            self._counters.add(prefix=len(prefix))
        return [kept[entry] for entry in wanted]

    def _pass(
        self,
        lengths: list[int],
        depth: int,
        prefix: dict[nn.Module, KeyValue] | None = None,
        prefix_length: int = 0,
        wanted: frozenset[int] = frozenset(),
        opening: ForwardContext | None = None,
    ) -> ForwardContext:
        return ForwardContext(
            self.attention, lengths, self._device, prefix or {}, prefix_length, depth, wanted, opening
        )
