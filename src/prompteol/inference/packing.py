"""Split rows into packs under a token budget, and count the tokens that are computed."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from transformers import PretrainedConfig

from prompteol.locks import Lock

logger = logging.getLogger(__name__)

TokenRow = Sequence[int]


def packs(rows: Sequence[TokenRow], budget: int) -> list[Sequence[TokenRow]]:
    """Split rows, in their order, into packs of nearly equal cost and at most ``budget`` tokens, or one longer row."""
    total = sum(map(len, rows))
    share = total / max(1, -(-total // budget))
    found, first, cost = [], 0, 0
    for index, row in enumerate(rows):
        if cost and (cost + len(row) > budget or cost + len(row) / 2 > share):
            found.append(rows[first:index])
            first, cost = index, 0
        cost += len(row)
    return [*found, rows[first:]]


class TokenBudget:
    """Run rows in packs of at most so many tokens; halve that for good when memory runs out."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self._lock = Lock()

    def run(self, rows: Sequence[TokenRow], compute: Callable[[Sequence[TokenRow]], list[Tensor]]) -> list[Tensor]:
        """Return what ``compute`` gives for all rows, each of its tensors concatenated over the packs."""
        queue = deque(packs(rows, self.tokens))
        done = []
        while queue:
            pack = queue.popleft()
            try:
                done.append(compute(pack))
                continue
            except torch.OutOfMemoryError:
                if len(pack) == 1:
                    raise
            # Out of the handler, so that the failed pack's tensors are freed before the next one starts.
            self._halve(sum(map(len, pack)))
            queue = deque(packs(list(chain(pack, *queue)), self.tokens))
        return [torch.cat(parts) for parts in zip(*done, strict=True)]

    def _halve(self, failed: int) -> None:
        with self._lock.locked():
            self.tokens = max(1, min(self.tokens, failed) // 2)
        logger.warning("out of memory at %d tokens; going on with %d at once", failed, self.tokens)


@dataclass
class Counters:
    """Count tokens that went through the backbone: prefixes once a call, text in each distinct row; a lone row is text.

    What took the reference forward, or was computed to compare the two, counts with its padding and in no other figure.
    """

    prefix_tokens: int = 0
    text_tokens: int = 0
    stock_tokens: int = 0
    checks: int = 0
    check_tokens: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def add(self, **counts: int) -> None:
        """Count what has just been computed, from any thread."""
        with self._lock.locked():
            for name, count in counts.items():
                setattr(self, name, getattr(self, name) + count)


def largest_independent_pack(config: PretrainedConfig) -> float:
    """Return the most tokens that may be computed at once, the prefix granted as much again, or infinity.

    Llama 4 scales attention by a token's place in the forward, not in its row: by one up to ``floor_scale``.
    """
    if not getattr(config, "attn_temperature_tuning", None):
        return math.inf
    return float(config.floor_scale // 2 - 1)


def longest_independent_row(config: PretrainedConfig) -> float:
    """Return the most tokens, prefix included, for which a row's states are the same in any company, or infinity.

    ``dynamic`` and ``longrope`` rescale all rows of a forward once one is longer than the model was first trained on.
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
