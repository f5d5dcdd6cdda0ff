"""Successive halving under a budget: how many pairs each round looks at, and how many candidates go on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from prompteol.tuning.scoring import BLOCK

__all__ = ["BUDGET", "Rung", "entrants", "rungs"]

# Of the tokens of the authors' procedure; what is left to a tenth are sentences that are cut or run without the prefix.
BUDGET = 0.097
_SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
# So many are scored on all pairs even where the budget asks for fewer, so that a small set is searched well.
_FINALISTS = 5


@dataclass(frozen=True)
class Rung:
    """A round of a search: from the ``start`` pairs that every candidate in it has seen, to ``stop``."""

    start: int
    stop: int


def rungs(pairs: int) -> Sequence[Rung]:
    """Return the rounds of a search, the last over all pairs.

    They depend on the number of pairs alone, so that results on disk serve any set of candidates. A round ends at a
    whole number of blocks, so that the reciprocal rank of a pair never depends on the round.

    Args:
        pairs: how many there are.
    """
    stops = sorted({min(pairs, BLOCK * math.ceil(share * pairs / BLOCK)) for share in _SHARES})
    return [Rung(start, stop) for start, stop in zip([0, *stops], stops, strict=False)]


def entrants(rounds: Sequence[Rung], candidates: int, budget: float) -> list[int]:
    """Return how many candidates enter each round: all the first, and each later one those that a fair share pays for.

    Args:
        rounds: as :func:`rungs` returns them.
        candidates: how many there are.
        budget: in pairs scored, over all candidates and rounds.
    """
    share = max(0.0, budget - candidates * rounds[0].stop) / max(1, len(rounds) - 1)
    counts = [candidates]
    for rung in rounds[1:]:
        paid = int(share / (rung.stop - rung.start))
        counts.append(min(counts[-1], max(_FINALISTS, paid)))
    return counts
