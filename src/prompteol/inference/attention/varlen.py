"""The whole pack attends at once by FlashAttention's variable-length kernel, on CUDA in fp16 and bf16."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from prompteol.inference.attention.context import ForwardContext
from prompteol.inference.attention.grouped import GroupedAttention

__all__ = ["VariableLengthAttention"]


class VariableLengthAttention:
    """Attend by ``torch.nn.attention.varlen``, all texts in one call, each with its own copy of the prefix.

    Texts that see less than everything before them, because of a window that they outgrow, attend by groups.
    """

    name = "varlen"
    _groups = GroupedAttention("sdpa")

    def mask(self, seen: Tensor, dtype: torch.dtype) -> Tensor:
        """Take what is seen as it is."""
        return seen

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
        """Return (1, queries, heads, width).

        Raises:
            ValueError: the architecture wants soft-capping or sinks, which the kernel does not know.
        """
        from torch.nn.attention.varlen import varlen_attn

        if kwargs.get("softcap") is not None or kwargs.get("s_aux") is not None:
            raise ValueError("varlen_attn knows neither soft-capping nor sinks")
        if not context.once(mask, partial(_sees_all_before, mask[0, 0])):
            return self._groups(context, module, query, key, value, mask, **kwargs)
        gather, query_ends, key_ends = context.once(("varlen", query.device), partial(_layout, context, query.device))
        keys, values = (
            states[0].index_select(1, gather).transpose(0, 1) for states in context.with_prefix(module, key, value)
        )
        if context.last_only:
            query_ends = torch.arange(len(query_ends), dtype=torch.int32, device=query.device)
        output = varlen_attn(
            query[0].transpose(0, 1),
            keys,
            values,
            query_ends,
            key_ends,
            1 if context.last_only else max(context.lengths),
            context.span,
            scale=kwargs.get("scaling"),
            # Causal, counted from the end: a text's last query sees all of its keys.
            window_size=(-1, 0),
            enable_gqa=True,
        )
        assert isinstance(output, Tensor)
        return output.unsqueeze(0)


def _sees_all_before(seen: Tensor) -> bool:
    return torch.equal(seen, torch.ones_like(seen).tril())


def _layout(context: ForwardContext, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Tell where each text's keys lie, prefix first, and where its queries and its keys end, after a zero."""
    lengths = torch.tensor(context.lengths)
    ends = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    shared = torch.arange(context.prefix_length)
    own = torch.arange(int(ends[-1])) + context.prefix_length
    gather = torch.cat([part for text in own.split(context.lengths) for part in (shared, text)])
    ends_with_prefix = ends + context.prefix_length * torch.arange(len(ends))
    return gather.to(device), ends.int().to(device), ends_with_prefix.int().to(device)
