"""Cut a pack into batches of texts of like length for attention, padded where a call more would cost more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

# Copies of the prefix in front of this many tokens of keys at once; bounds the memory of a long prefix before
# many short texts, and keeps a slice of the work in the processor's cache.
_KEYS_AT_ONCE = 4096
# Pairs of a query and a key that are computed in about the time that one more call of attention takes.
_PAIRS_A_CALL = 8192


@dataclass(frozen=True, eq=False)
class LengthBucket:
    """Hold the lengths of texts that attend in one call, in the order in which they lie."""

    lengths: Sequence[int]

    @property
    def count(self) -> int:
        """How many texts there are."""
        return len(self.lengths)

    @property
    def longest(self) -> int:
        """Tokens of the longest, the last one."""
        return self.lengths[-1]

    @property
    def tokens(self) -> int:
        """Tokens of all."""
        return sum(self.lengths)

    @property
    def padded(self) -> bool:
        """Whether some are shorter than others."""
        return self.lengths[0] < self.longest

    def padding(self, device: torch.device) -> Tensor:
        """Return which token lies at each of the count * longest places, the last one of a text behind its end."""
        lengths = torch.tensor(self.lengths)[:, None]
        starts = lengths.cumsum(0) - lengths
        places = torch.minimum(torch.arange(self.longest), lengths - 1)
        return (starts + places).flatten().to(device)

    def real(self, device: torch.device) -> Tensor:
        """Return at which of the count * longest places each token lies."""
        texts = torch.arange(self.count)[:, None] * self.longest
        inside = torch.arange(self.longest) < torch.tensor(self.lengths)[:, None]
        return (texts + torch.arange(self.longest))[inside].to(device)


def length_buckets(lengths: Sequence[int], prefix_length: int, *, padded: bool) -> list[LengthBucket]:
    """Cut sorted lengths into buckets; of one length each unless they may be ``padded``."""
    found: list[list[int]] = []
    for length, texts in groupby(lengths):
        group = list(texts)
        end = prefix_length + length
        most = max(1, _KEYS_AT_ONCE // end)
        if padded and found and len(found[-1]) + len(group) <= most:
            before = len(found[-1]) * found[-1][-1] * (prefix_length + found[-1][-1])
            if len(found[-1]) * length * end - before <= _PAIRS_A_CALL:
                found[-1].extend(group)
                continue
        found.extend(group[start : start + most] for start in range(0, len(group), most))
    return [LengthBucket(bucket) for bucket in found]
