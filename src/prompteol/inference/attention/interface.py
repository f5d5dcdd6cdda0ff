"""One attention function for every architecture, registered with transformers under a name of ours.

It holds no attention arithmetic: the pass that runs says which way its texts attend. The mask is the
architecture's own: its rule is asked for one text's positions instead of the pack's, which brings sliding and
chunked windows with it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface

from prompteol.inference.attention.context import StopForward, UnsupportedError, current_context

__all__ = ["NAME"]

NAME = "prompteol_packed"


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Let each text attend to the prefix and itself; shapes as in transformers, with a batch of one row."""
    context = current_context()
    context.attended.add(module)
    if context.stop_at_attention:
        context.cached_kv = (key, value)
        raise StopForward
    key, value = context.cached_kv or (key, value)
    if attention_mask is None or attention_mask.shape[-2:] != (context.span, context.span):
        raise UnsupportedError(f"{type(module).__name__} has a mask of its own making")
    kwargs.pop("position_ids", None)
    attend: Callable[..., Tensor] = partial(context.attention, mask=attention_mask, **kwargs)
    if context.opening is None:
        return attend(context, module, query, key, value), None
    end = context.prefix_length
    shared, texts = partial(_tokens, which=slice(end)), partial(_tokens, which=slice(end, None))
    # Cloned, so that what is kept of the pack is the prefix alone.
    context.prefix[module] = shared(key).clone(), shared(value).clone()
    if context.last_only:
        return attend(context, module, query, texts(key), texts(value)), None
    before = attend(context.opening, module, shared(query), shared(key), shared(value))
    return torch.cat([before, attend(context, module, texts(query), texts(key), texts(value))], dim=1), None


def _tokens(states: Tensor, which: slice) -> Tensor:
    return states[:, :, which]


def _mask_of_one_text(*, mask_function: Callable[..., Tensor], dtype: torch.dtype, **_: Any) -> Tensor:
    """Ask the architecture's rule who sees whom for the longest text alone: (1, 1, span, span).

    A shorter text's mask is a corner of it, since positions start at 0 in every text.
    """
    context = current_context()
    positions = torch.arange(context.span, device=context.device)
    zero = torch.zeros(1, 1, 1, 1, dtype=torch.long, device=context.device)
    seen = mask_function(zero, zero, positions[None, None, :, None], positions[None, None, None, :])
    return context.attention.mask(seen.expand(1, 1, context.span, context.span), dtype)


AttentionInterface.register(NAME, _attend)
AttentionMaskInterface.register(NAME, _mask_of_one_text)
