"""How long a row, and a pack of rows, may be before what is beside a row decides its states."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from transformers import PretrainedConfig

__all__ = ["largest_independent_pack", "longest_independent_row"]


def largest_independent_pack(config: PretrainedConfig) -> float:
    """Return the most tokens, a prefix aside, that may be computed at once, or infinity.

    Llama 4 scales attention by a token's place in the forward, not in its row: by one up to the first
    ``floor_scale``. The prefix is granted as much as the pack.
    """
    if not getattr(config, "attn_temperature_tuning", None):
        return math.inf
    return float(config.floor_scale // 2 - 1)


def longest_independent_row(config: PretrainedConfig) -> float:
    """Return the most tokens, a prefix included, for which a row's states are the same in any company, or infinity.

    ``dynamic`` and ``longrope`` rescale every row of a forward once one of them is longer than what the model
    was first trained on, so neither a cached prefix nor a pack may hold such a row.
    """
    limits = [
        rope.get("original_max_position_embeddings") or config.max_position_embeddings
        for rope in _rotary_settings(getattr(config, "rope_parameters", None))
        if rope.get("rope_type") in ("dynamic", "longrope")
    ]
    return float(min([*limits, largest_independent_pack(config)]))


def _rotary_settings(value: Any) -> Iterator[dict[str, Any]]:
    """Walk through settings that some architectures hold once and others by kind of layer."""
    if isinstance(value, dict):
        yield value
        for part in value.values():
            yield from _rotary_settings(part)
