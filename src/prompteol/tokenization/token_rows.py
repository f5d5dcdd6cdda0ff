"""Carry the token ids of prompts from the tokenizer to the packed forward, without padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["TokenRows"]


@dataclass(frozen=True)
class TokenRows:
    """Hold one row of token ids for each prompt.

    Args:
        rows: the ids of each prompt.
        prefix: the ids that ordinary prompts begin with.
        pad_token_id: what fills shorter rows.
    """

    rows: Sequence[Sequence[int]]
    prefix: Sequence[int]
    pad_token_id: int

    def padded(self) -> dict[str, Tensor]:
        """Return ``input_ids`` and ``attention_mask``, both (rows, tokens), padded on the right."""
        lengths = torch.tensor([len(row) for row in self.rows])
        longest = int(lengths.max()) if len(lengths) else 0
        ids = [[*row, *[self.pad_token_id] * (longest - len(row))] for row in self.rows]
        return {
            "input_ids": torch.tensor(ids, dtype=torch.long).reshape(len(ids), longest),
            "attention_mask": (torch.arange(longest) < lengths[:, None]).long(),
        }
