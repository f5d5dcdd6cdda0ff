"""Make the attention mask of a pack: the architecture's own, for the positions of one text instead of the pack's.

That brings sliding and chunked windows with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from prompteol.compat import visible_tokens
from prompteol.inference.context import current_context


def mask_of_one_text(*, mask_function: Callable[..., Tensor], dtype: torch.dtype, **_: Any) -> Tensor:
    """Return the architecture's mask of the longest text, (1, 1, span, span); a shorter text's is a corner of it."""
    context = current_context()
    positions = torch.arange(context.span, device=context.device)
    zero = torch.zeros(1, 1, 1, 1, dtype=torch.long, device=context.device)
    seen = visible_tokens(mask_function, zero, positions)
    return context.attention.mask(seen.expand(1, 1, context.span, context.span), dtype)
