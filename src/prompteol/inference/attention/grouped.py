"""Texts of one length attend as an ordinary batch, by the architecture's own function: right on every device.

The prefix is put in front of their keys and values, and transformers' ``sdpa``, or the ``eager`` function of the
architecture's modeling file, does the rest: scaling, grouped queries, soft-capping and sinks are whatever they are
on the reference forward.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from prompteol.inference.attention.context import ForwardContext, UnsupportedError
from prompteol.inference.packing import Group, group_by_length

__all__ = ["GroupedAttention"]

StockAttention = Callable[..., tuple[Tensor, Tensor | None]]

# Copies of the prefix in front of this many tokens of keys at once; bounds the memory of a long prefix before
# many short texts, and keeps a slice of the work in the processor's cache.
_KEYS_AT_ONCE = 4096


@dataclass(frozen=True)
class GroupedAttention:
    """Attend by a stock function, once for each group of texts of one length.

    Args:
        name: which one. ``"sdpa"`` is the faster; ``"eager"`` knows soft-capping and attention sinks.
    """

    name: Literal["sdpa", "eager"]

    def mask(self, seen: Tensor, dtype: torch.dtype) -> Tensor:
        """Give sdpa what is seen, eager what to add to the scores."""
        if self.name == "sdpa":
            return seen
        return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(~seen, torch.finfo(dtype).min)

    def __call__(
        self,
        context: ForwardContext,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor,
        **kwargs: Any,
    ) -> Tensor:
        """Return (1, queries, heads, width)."""
        if self.name == "sdpa" and kwargs.get("s_aux") is not None:
            raise ValueError("transformers' sdpa passes over attention sinks")
        attention = partial(self._stock(module), module, **kwargs)
        outputs, text = [], 0
        for group in context.once("groups", partial(group_by_length, context.lengths)):
            end = context.prefix_length + group.length
            seen = mask[..., context.prefix_length : end, :end]
            for count, tokens in _slices(group, max(1, _KEYS_AT_ONCE // end)):
                keys, values = context.with_prefix(
                    module, _batch(key[:, :, tokens], count), _batch(value[:, :, tokens], count)
                )
                if context.last_only:
                    asked = query[:, :, text : text + count]
                    output, _ = attention(_batch(asked, count), keys, values, seen[..., -1:, :])
                else:
                    output, _ = attention(_batch(query[:, :, tokens], count), keys, values, seen)
                outputs.append(output.flatten(0, 1))
                text += count
        return torch.cat(outputs).unsqueeze(0)

    def _stock(self, module: nn.Module) -> StockAttention:
        if self.name == "sdpa":
            return cast("StockAttention", AttentionInterface()["sdpa"])  # type: ignore[no-untyped-call]
        modeling = sys.modules[type(module).__module__]
        eager: StockAttention | None = getattr(modeling, "eager_attention_forward", None)
        if eager is None:
            raise UnsupportedError(f"{modeling.__name__} has no eager_attention_forward")
        return eager


def _slices(group: Group, most: int) -> Iterator[tuple[int, slice]]:
    """Cut a group into parts of at most so many texts: how many, and where their tokens lie."""
    for first in range(0, group.count, most):
        count = min(most, group.count - first)
        start = group.start + first * group.length
        yield count, slice(start, start + count * group.length)


def _batch(row: Tensor, count: int) -> Tensor:
    """View (1, heads, count * length, width) as (count, heads, length, width)."""
    _, heads, tokens, width = row.shape
    return row.view(heads, count, tokens // count, width).transpose(0, 1)
