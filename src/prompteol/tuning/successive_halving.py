"""Run candidates over growing samples of the pairs, and drop the poor ones early (successive halving)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from prompteol.data.scored_pairs import ScoredPairs
from prompteol.tuning.candidate import Candidate
from prompteol.tuning.evaluator import Evaluator
from prompteol.tuning.results_log import ResultsLog
from prompteol.tuning.schedule import BUDGET, Rung, round_sizes, rungs
from prompteol.tuning.score_estimate import estimate
from prompteol.tuning.scoring import Values, score

__all__ = ["CandidateScore", "SuccessiveHalving", "TuningProgress", "Watcher"]

# So many are scored on all pairs at once, spread over the candidates, so that the others' scores can be estimated. Each
# costs a share of the budget, and five or seven found no more on stories260K.
_REFERENCES = 3


@dataclass(frozen=True)
class CandidateScore:
    """Hold a candidate's scores.

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
    """Say how far tuning is.

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
    """Score candidates in rounds; what the log has is read from it, what is new is added.

    Args:
        evaluator: scores prompts on the pairs.
        log: of the results.
        pairs: in the evaluator's order.
        layers: the evaluator's.
        exhaustive: every candidate sees all pairs.
        watch: called after each candidate of each round.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        log: ResultsLog,
        pairs: ScoredPairs,
        layers: Sequence[int],
        *,
        exhaustive: bool = False,
        watch: Watcher | None = None,
    ) -> None:
        self._evaluator = evaluator
        self._log = log
        self._pairs = pairs
        self._layers = tuple(layers)
        self._exhaustive = exhaustive
        self._watch = watch
        self.rungs = rungs(len(pairs))

    def run(self, candidates: Sequence[Candidate], *, never_dropped: Sequence[Candidate] = ()) -> list[CandidateScore]:
        """Return the scores of all candidates, the best first.

        Those scored on more pairs come before those that were dropped earlier; equals in the order given.

        Args:
            candidates: to compare.
            never_dropped: those among them that are scored on all pairs whatever their score.
        """
        remaining = list(dict.fromkeys(candidates))
        references = [] if self._exhaustive else self._references(remaining, never_dropped)
        sizes = round_sizes(
            self.rungs, len(remaining) - len(references), self._budget(remaining) - len(references) * len(self._pairs)
        )
        whole: dict[Candidate, CandidateScore] = {}
        for done, candidate in enumerate(references, start=1):
            for rung in self.rungs:
                whole[candidate] = self._extend(candidate, rung, whole.get(candidate))
            self._report(0, self.rungs[-1], done, references, whole)
        known = [one.values for one in whole.values()]
        scores = dict(whole)
        remaining = [candidate for candidate in remaining if candidate not in whole]
        for number, rung in enumerate(self.rungs, start=1):
            if number > 1 and not self._exhaustive:
                best = {one.candidate for one in _ranked(scores[one] for one in remaining)[: sizes[number - 1]]}
                remaining = [candidate for candidate in remaining if candidate in best]
            for done, candidate in enumerate(remaining, start=1):
                scores[candidate] = self._extend(candidate, rung, scores.get(candidate), known)
                self._report(number, rung, done, remaining, scores)
        return sorted(scores.values(), key=lambda one: (-one.pairs, -one.score))

    def _references(self, candidates: Sequence[Candidate], never_dropped: Sequence[Candidate]) -> list[Candidate]:
        """Return those that are scored on all pairs before the others."""
        others = [candidate for candidate in candidates if candidate not in never_dropped]
        if len(self.rungs) == 1 or len(others) <= _REFERENCES:
            return list(never_dropped)
        spread = [others[(2 * number + 1) * len(others) // (2 * _REFERENCES)] for number in range(_REFERENCES)]
        return [*never_dropped, *spread]

    def _budget(self, candidates: Sequence[Candidate]) -> float:
        """Return how many pairs may be scored over all rounds, so that tuning stays within its budget."""
        costs = [self._evaluator.cost(one.template) for one in candidates]
        once = sum(cost.once for cost in costs)
        per_pair = sum(cost.per_pair for cost in costs) / len(costs)
        return (BUDGET * sum(cost.authors for cost in costs) - once) / per_pair

    def _extend(
        self, candidate: Candidate, rung: Rung, before: CandidateScore | None, references: Sequence[Values] = ()
    ) -> CandidateScore:
        known = self._log.get(candidate, rung.start, rung.stop)
        if known is None:
            known = self._evaluator.score(candidate.template, rung.start, rung.stop)
            self._log.add(candidate, rung.start, rung.stop, known)
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
        remaining: Sequence[Candidate],
        scores: dict[Candidate, CandidateScore],
    ) -> None:
        if self._watch is not None:
            finished = {one.candidate for one in scores.values() if one.pairs == len(self._pairs)}
            leaders = _ranked(one for one in scores.values() if one.candidate in finished.union(remaining))
            self._watch(
                TuningProgress(number, len(self.rungs), rung.stop, done, len(remaining), self._log.tokens, leaders)
            )


def _ranked(scores: Iterable[CandidateScore]) -> list[CandidateScore]:
    return sorted(scores, key=lambda one: -one.score)
