"""Run candidates over growing samples of the pairs, and let the poor ones leave early."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from prompteol.data.scored_pairs import ScoredPairs
from prompteol.tuning.candidate import Candidate
from prompteol.tuning.evaluator import Evaluator
from prompteol.tuning.results_log import ResultsLog
from prompteol.tuning.schedule import BUDGET, Rung, entrants, rungs
from prompteol.tuning.score_estimate import estimate
from prompteol.tuning.scoring import Values, score

__all__ = ["CandidateScore", "SuccessiveHalving", "TuningProgress", "Watcher"]

# So many are scored on all pairs at once, spread over the candidates, so that the others' scores can be estimated. Each
# costs a share of the budget, and five or seven found no more on stories260K.
_REFERENCES = 3


@dataclass(frozen=True)
class CandidateScore:
    """Where a candidate stands.

    Args:
        candidate: the prompt.
        values: (layers, pairs): what each layer gave for the pairs it has been scored on.
        scores: x 100, of each layer on all pairs: estimated where the candidate has not been scored on all of them.
        layers: negative indices.
    """

    candidate: Candidate
    values: Values
    scores: tuple[float, ...]
    layers: tuple[int, ...]

    @property
    def score(self) -> float:
        """The best layer's score."""
        return max(self.scores)

    @property
    def layer(self) -> int:
        """The layer that scores best; of equals, the shallower one."""
        return self.layers[self.scores.index(self.score)]

    @property
    def pairs(self) -> int:
        """On how many pairs it was scored."""
        return int(self.values.shape[1])


@dataclass(frozen=True)
class TuningProgress:
    """What a search is doing, for whoever watches.

    Args:
        round: from 1; 0 while a few are scored on all pairs to compare the others with.
        rounds: of them.
        pairs: on which this round scores.
        done: candidates scored in this round.
        candidates: in this round.
        tokens: computed so far, by earlier runs too.
        leaders: the candidates in this round and those before it that were scored on all pairs, best first.
    """

    round: int
    rounds: int
    pairs: int
    done: int
    candidates: int
    tokens: int
    leaders: Sequence[CandidateScore]


Watcher = Callable[[TuningProgress], None]


class SuccessiveHalving:
    """Score candidates, reading what is known from the ledger and writing to it what is new.

    Args:
        judge: runs prompts over the pairs.
        ledger: of this search.
        pairs: in the judge's order.
        layers: the judge's.
        exhaustive: every candidate sees all pairs.
        watch: called after each candidate of each round.
    """

    def __init__(
        self,
        judge: Evaluator,
        ledger: ResultsLog,
        pairs: ScoredPairs,
        layers: Sequence[int],
        *,
        exhaustive: bool = False,
        watch: Watcher | None = None,
    ) -> None:
        self._judge = judge
        self._ledger = ledger
        self._pairs = pairs
        self._layers = tuple(layers)
        self._exhaustive = exhaustive
        self._watch = watch
        self.rungs = rungs(len(pairs))

    def run(self, candidates: Sequence[Candidate], *, to_the_end: Sequence[Candidate] = ()) -> list[CandidateScore]:
        """Return where all candidates stand, the best first.

        Those scored on more pairs come before those that left earlier; equals in the order given.

        Args:
            candidates: to compare.
            to_the_end: those among them that are scored on all pairs whatever their score.
        """
        alive = list(dict.fromkeys(candidates))
        references = [] if self._exhaustive else self._references(alive, to_the_end)
        room = entrants(
            self.rungs, len(alive) - len(references), self._budget(alive) - len(references) * len(self._pairs)
        )
        whole: dict[Candidate, CandidateScore] = {}
        for done, candidate in enumerate(references, start=1):
            for rung in self.rungs:
                whole[candidate] = self._extend(candidate, rung, whole.get(candidate))
            self._report(0, self.rungs[-1], done, references, whole)
        known = [one.values for one in whole.values()]
        standings = dict(whole)
        alive = [candidate for candidate in alive if candidate not in whole]
        for number, rung in enumerate(self.rungs, start=1):
            if number > 1 and not self._exhaustive:
                best = {one.candidate for one in _ranked(standings[one] for one in alive)[: room[number - 1]]}
                alive = [candidate for candidate in alive if candidate in best]
            for done, candidate in enumerate(alive, start=1):
                standings[candidate] = self._extend(candidate, rung, standings.get(candidate), known)
                self._report(number, rung, done, alive, standings)
        return sorted(standings.values(), key=lambda one: (-one.pairs, -one.score))

    def _references(self, candidates: Sequence[Candidate], to_the_end: Sequence[Candidate]) -> list[Candidate]:
        """Return those that are scored on all pairs before the others."""
        others = [candidate for candidate in candidates if candidate not in to_the_end]
        if len(self.rungs) == 1 or len(others) <= _REFERENCES:
            return list(to_the_end)
        spread = [others[(2 * number + 1) * len(others) // (2 * _REFERENCES)] for number in range(_REFERENCES)]
        return [*to_the_end, *spread]

    def _budget(self, candidates: Sequence[Candidate]) -> float:
        """Return how many pairs may be scored over all rounds, so that the search costs what it promises."""
        costs = [self._judge.cost(one.template) for one in candidates]
        once = sum(cost.once for cost in costs)
        a_pair = sum(cost.a_pair for cost in costs) / len(costs)
        return (BUDGET * sum(cost.authors for cost in costs) - once) / a_pair

    def _extend(
        self, candidate: Candidate, rung: Rung, before: CandidateScore | None, references: Sequence[Values] = ()
    ) -> CandidateScore:
        known = self._ledger.get(candidate, rung.start, rung.stop)
        if known is None:
            known = self._judge.judge(candidate.template, rung.start, rung.stop)
            self._ledger.add(candidate, rung.start, rung.stop, known)
        values = known.values if before is None else np.concatenate([before.values, known.values], axis=1)
        gold = self._pairs.scores and self._pairs.scores[: rung.stop]
        if references and rung.stop < len(self._pairs):
            scores = estimate(values, references, self._pairs.scores)
        else:
            scores = tuple(score(layer, gold) for layer in values)
        return CandidateScore(candidate, values, scores, self._layers)

    def _report(
        self,
        number: int,
        rung: Rung,
        done: int,
        alive: Sequence[Candidate],
        standings: dict[Candidate, CandidateScore],
    ) -> None:
        if self._watch is not None:
            here = {*alive, *(one for one, standing in standings.items() if standing.pairs == len(self._pairs))}
            leaders = _ranked(standing for one, standing in standings.items() if one in here)
            self._watch(
                TuningProgress(number, len(self.rungs), rung.stop, done, len(alive), self._ledger.tokens, leaders)
            )


def _ranked(standings: Iterable[CandidateScore]) -> list[CandidateScore]:
    return sorted(standings, key=lambda one: -one.score)
