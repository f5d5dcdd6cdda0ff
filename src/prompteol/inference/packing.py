"""Which texts run together: packs of whole texts under a token budget, equal lengths side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

__all__ = ["Group", "TokenRow", "group_by_length", "packs"]

TokenRow = Sequence[int]


@dataclass(frozen=True)
class Group:
    """Neighboring texts of one length inside a pack.

    Args:
        start: where the first of them begins, in tokens from the start of the pack.
        count: how many texts.
        length: tokens of each.
    """

    start: int
    count: int
    length: int


def group_by_length(lengths: Sequence[int]) -> list[Group]:
    """Describe texts laid end to end as runs of equal length.

    Args:
        lengths: tokens of each text, in the order in which they lie; sorted, so that there are few runs.
    """
    groups, start = [], 0
    for length, run in groupby(lengths):
        count = sum(1 for _ in run)
        groups.append(Group(start, count, length))
        start += count * length
    return groups


def packs(rows: Sequence[TokenRow], budget: int) -> list[Sequence[TokenRow]]:
    """Split rows, in their order, into packs of nearly equal cost, so that no small pack is left over.

    Args:
        rows: token ids.
        budget: tokens of a pack, at most; a single longer row makes a pack of its own.
    """
    total = sum(map(len, rows))
    share = total / max(1, -(-total // budget))
    found, first, cost = [], 0, 0
    for index, row in enumerate(rows):
        if cost and (cost + len(row) > budget or cost + len(row) / 2 > share):
            found.append(rows[first:index])
            first, cost = index, 0
        cost += len(row)
    return [*found, rows[first:]]
