"""Reduce the states of a row's tokens to one vector: the last token's, the first one's, or a mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

PoolingMode = Literal["lasttoken", "cls", "mean", "weightedmean"]
POOLING_MODES: tuple[str, ...] = get_args(PoolingMode)


@dataclass(frozen=True)
class TokenPooling:
    """Define which tokens of a row make up its vector, and their weights.

    Args:
        mode: the mode in sentence-transformers' ``Pooling``. With ``"cls"`` there is nothing to share.
        skipped: the number of tokens at the beginning of a row to leave out, such as a prompt's.
    """

    mode: PoolingMode = "lasttoken"
    skipped: int = 0

    @property
    def last_only(self) -> bool:
        """Whether only the last token's state is read."""
        return self.mode == "lasttoken"

    def weights(self, positions: Tensor) -> Tensor:
        """Return the weight of a state at each place of its row."""
        weights = positions + 1 if self.mode == "weightedmean" else torch.ones_like(positions)
        return weights * (positions >= self.skipped)

    def padded(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Pool (rows, tokens, width), padded on the right."""
        if self.last_only:
            return states[torch.arange(len(lengths), device=states.device), lengths - 1]
        if self.mode == "cls":
            return states[:, self.skipped]
        positions = torch.arange(states.shape[1], device=states.device)
        weights = self.weights(positions) * (positions < lengths[:, None])
        wide = _wide(states.dtype)
        return ((states.to(wide) * weights[..., None]).sum(1) / weights.sum(1, keepdim=True)).to(states.dtype)

    def weighted_sum(self, states: Tensor, positions: Tensor) -> Tensor:
        """Return the weighted sum of (tokens, width) of one row, or of its beginning."""
        wide = _wide(states.dtype)
        return self.weights(positions).to(wide) @ states.to(wide)

    def packed(self, states: Tensor, lengths: Tensor, start: int, before: Tensor | None) -> Tensor:
        """Pool (tokens, width) of texts laid end to end.

        Args:
            states: the states of all tokens behind the shared prefix.
            lengths: the number of tokens of each text behind the prefix.
            start: the number of tokens of the prefix.
            before: the :meth:`weighted_sum` of the prefix, if there is one.
        """
        ends = lengths.cumsum(0)
        if self.mode == "cls":
            return states[ends - lengths + self.skipped]
        text = torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths)
        weights = self.weights(torch.arange(len(states), device=states.device) - (ends - lengths)[text] + start)
        wide = _wide(states.dtype)
        sums = states.new_zeros(len(lengths), states.shape[1], dtype=wide)
        sums.index_add_(0, text, states.to(wide) * weights[:, None])
        total = torch.zeros_like(ends).index_add_(0, text, weights)
        if before is not None:
            sums, total = sums + before, total + self.weights(torch.arange(start, device=ends.device)).sum()
        return (sums / total[:, None]).to(states.dtype)


LAST_TOKEN = TokenPooling()


def _wide(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype that sentence-transformers sums in."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype
