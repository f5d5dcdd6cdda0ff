"""Find what rows of token ids begin with in common, and group them so that the fewest tokens are computed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from prompteol.inference.packing import TokenRow

# A group of its own needs packs of its own; about so many tokens are computed in the time that this costs.
_COST_OF_A_GROUP = 64
# Prefixes that extend each other, such as instruction, query and the beginning of a document: no more are looked at.
_NESTED = 8


def group_by_prefix(rows: Sequence[TokenRow]) -> list[tuple[tuple[int, ...], list[int]]]:
    """Split rows into groups that share a prefix worth computing once: (prefix, places of its rows) each.

    Rows that share nothing worth it form a group whose prefix is empty. Whatever a prefix is, each of its rows is
    longer.
    """
    order = sorted(range(len(rows)), key=lambda place: tuple(rows[place]))
    shared = [_shared_length(rows[one], rows[other]) for one, other in pairwise(order)]
    found: list[tuple[int, int, int]] = []
    _best(shared, 0, len(order), _NESTED, found)
    groups, alone = [], set(order)
    for first, end, length in found:
        places = order[first:end]
        groups.append((tuple(rows[places[0]][:length]), places))
        alone -= set(places)
    return [*groups, ((), sorted(alone))] if alone else groups


def _shared_length(one: TokenRow, other: TokenRow) -> int:
    """Return how many ids two rows begin with in common, leaving at least one token of each."""
    most = min(len(one), len(other)) - 1
    return next((place for place in range(most) if one[place] != other[place]), most)


def _best(shared: Sequence[int], first: int, end: int, nested: int, found: list[tuple[int, int, int]]) -> int:
    """Append the best groups of sorted rows as (first, end, length); return how many tokens they save.

    ``shared`` is what each row has in common with the next.
    """
    if end - first < 2 or not nested:
        return 0
    length = min(shared[first : end - 1])
    together = (end - first - 1) * length - _COST_OF_A_GROUP
    cuts = [place + 1 for place in range(first, end - 1) if shared[place] == length]
    apart: list[tuple[int, int, int]] = []
    saved = sum(_best(shared, *span, nested - 1, apart) for span in pairwise([first, *cuts, end]))
    if together > 0 and together >= saved:
        found.append((first, end, length))
        return together
    found.extend(apart)
    return saved
