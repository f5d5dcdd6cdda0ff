"""How many tokens are computed at once, and what happens when that was too many."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from itertools import chain

import torch
from torch import Tensor

from prompteol.inference.packing import TokenRow, packs
from prompteol.locks import Lock

__all__ = ["TokenBudget"]

logger = logging.getLogger(__name__)


class TokenBudget:
    """Run rows in packs of at most so many tokens; halve that for good when memory runs out.

    Args:
        tokens: of one pack, at most.
    """

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self._lock = Lock()

    def run(self, rows: Sequence[TokenRow], compute: Callable[[Sequence[TokenRow]], list[Tensor]]) -> list[Tensor]:
        """Return what ``compute`` gives for all rows, each of its tensors concatenated over the packs.

        Raises:
            torch.OutOfMemoryError: when a single row is too much.
        """
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
        with self._lock.held():
            self.tokens = max(1, min(self.tokens, failed) // 2)
        logger.warning("out of memory at %d tokens; going on with %d at once", failed, self.tokens)
