"""Run the packed forward: a shared prefix once (KV cache), and what follows it without padding."""

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
        packed_backbone: the copy of the backbone that runs packs.
        device: where the input goes.
        attention: the attention kernel.
        counters: where the prefixes' tokens are counted.
    """

    def __init__(
        self, packed_backbone: PackedBackbone, device: torch.device, attention: Attention, counters: Counters
    ) -> None:
        self._packed_backbone = packed_backbone
        self._device = device
        self.attention = attention
        self._counters = counters
        self._prefix_caches: dict[tuple[Prefix, int], dict[nn.Module, KeyValue]] = {}

    def states(self, prefix: Prefix, suffixes: Sequence[TokenRow], layers: Sequence[int]) -> list[Tensor]:
        """Return ``hidden_states`` of some layers at each row's last token, (rows, width) each.

        Args:
            prefix: token ids that every row starts with; may be empty.
            suffixes: the token ids that follow it in each row, at least one; sorted by length.
            layers: negative indices into ``hidden_states``.
        """
        wanted = [layer + self._packed_backbone.depth + 1 for layer in layers]
        depth = max(wanted)
        cache = self._prefix_caches.get((prefix, depth))
        opening = self._context([len(prefix)], depth) if prefix and cache is None else None
        context = self._context(
            [len(suffix) for suffix in suffixes], depth, cache, len(prefix), frozenset(wanted), opening
        )
        tokens = [*(prefix if opening else ()), *chain.from_iterable(suffixes)]
        kept = self._packed_backbone.run(
            context,
            torch.tensor([tokens], device=self._device),
            torch.tensor([context.positions], device=self._device),
        )
        if opening:
            self._prefix_caches[prefix, depth] = context.prefix
            self._counters.add(prefix=len(prefix))
        return [kept[index] for index in wanted]

    def _context(
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
