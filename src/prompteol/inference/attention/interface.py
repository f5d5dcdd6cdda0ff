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

from prompteol.inference.attention.passes import StopForward, UnsupportedError, current_pass

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
    this = current_pass()
    this.attended.add(module)
    if this.stop_at_attention:
        this.held = (key, value)
        raise StopForward
    key, value = this.held or (key, value)
    if attention_mask is None or attention_mask.shape[-2:] != (this.span, this.span):
        raise UnsupportedError(f"{type(module).__name__} has a mask of its own making")
    kwargs.pop("position_ids", None)
    attend: Callable[..., Tensor] = partial(this.attention, mask=attention_mask, **kwargs)
    if this.opening is None:
        return attend(this, module, query, key, value), None
    end = this.prefix_length
    shared, texts = partial(_tokens, which=slice(end)), partial(_tokens, which=slice(end, None))
    # Cloned, so that what is kept of the pack is the prefix alone.
    this.prefix[module] = shared(key).clone(), shared(value).clone()
    if this.last_only:
        return attend(this, module, query, texts(key), texts(value)), None
    before = attend(this.opening, module, shared(query), shared(key), shared(value))
    return torch.cat([before, attend(this, module, texts(query), texts(key), texts(value))], dim=1), None


def _tokens(states: Tensor, which: slice) -> Tensor:
    return states[:, :, which]


def _mask_of_one_text(*, mask_function: Callable[..., Tensor], dtype: torch.dtype, **_: Any) -> Tensor:
    """Ask the architecture's rule who sees whom for the longest text alone: (1, 1, span, span).

    A shorter text's mask is a corner of it, since positions start at 0 in every text.
    """
    this = current_pass()
    positions = torch.arange(this.span, device=this.device)
    zero = torch.zeros(1, 1, 1, 1, dtype=torch.long, device=this.device)
    seen = mask_function(zero, zero, positions[None, None, :, None], positions[None, None, None, :])
    return this.attention.mask(seen.expand(1, 1, this.span, this.span), dtype)


AttentionInterface.register(NAME, _attend)
AttentionMaskInterface.register(NAME, _mask_of_one_text)
