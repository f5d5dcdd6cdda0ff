"""Run candidates over growing samples of the pairs, and drop the poor ones early (successive halving)."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from prompteol.data.scored_pairs import ScoredPairs
from prompteol.tuning.evaluator import Candidate, Evaluator
from prompteol.tuning.results_log import ResultsLog
from prompteol.tuning.scoring import BLOCK, Values, estimate, score

# Of the tokens of the authors' procedure; what is left to a tenth are sentences that are cut or run without the prefix.
BUDGET = 0.097
_SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
# So many are scored on all pairs even where the budget asks for fewer, so that a small set is compared well.
_FINALISTS = 5
# So many are scored on all pairs at once, spread over the candidates, so that the others' scores can be estimated. Each
# costs a share of the budget, and five or seven found no more on stories260K.
_REFERENCES = 3


@dataclass(frozen=True)
class CandidateScore:
    """Hold a candidate's scores."""

    candidate: Candidate
    values: Values  # (layers, pairs): what each layer gave for the pairs it has been scored on
    scores: tuple[float, ...]  # x 100, of each layer on all pairs: estimated unless it was scored on all of them
    layers: tuple[int, ...]  # negative indices

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
    """Say how far tuning is."""

    round: int  # from 1; 0 while a few are scored on all pairs to compare the others with
    rounds: int
    pairs: int  # on which this round scores
    done: int  # candidates scored in this round
    candidates: int  # in this round
    tokens: int  # computed so far, by earlier runs too
    leaders: Sequence[CandidateScore]  # in this round, and those scored on all pairs before it, best first


Watcher = Callable[[TuningProgress], None]


class Rung(NamedTuple):
    """Hold a round of successive halving: from the ``start`` pairs that every candidate in it has seen, to ``stop``."""

    start: int
    stop: int


def rungs(pairs: int) -> Sequence[Rung]:
    """Return the rounds for so many pairs, the last over all; the same for any candidates, as logs serve all."""
    stops = sorted({min(pairs, BLOCK * math.ceil(share * pairs / BLOCK)) for share in _SHARES})
    return [Rung(start, stop) for start, stop in zip([0, *stops], stops, strict=False)]


def round_sizes(rounds: Sequence[Rung], candidates: int, budget: float) -> list[int]:
    """Return how many candidates enter each round: all the first, then those that a fair share of pairs pays for."""
    share = max(0.0, budget - candidates * rounds[0].stop) / max(1, len(rounds) - 1)
    counts = [candidates]
    for rung in rounds[1:]:
        counts.append(min(counts[-1], max(_FINALISTS, int(share / (rung.stop - rung.start)))))
    return counts


@dataclass
class SuccessiveHalving:
    """Score candidates in rounds; what the log has is read from it, what is new is added."""

    evaluator: Evaluator
    log: ResultsLog
    pairs: ScoredPairs  # in the evaluator's order
    layers: Sequence[int]  # the evaluator's
    _: KW_ONLY
    exhaustive: bool = False  # every candidate sees all pairs
    watch: Watcher | None = None  # called after each candidate of each round

    @cached_property
    def rungs(self) -> Sequence[Rung]:
        """The rounds."""
        return rungs(len(self.pairs))

    def run(self, candidates: Sequence[Candidate], *, never_dropped: Sequence[Candidate] = ()) -> list[CandidateScore]:
        """Return the scores of all candidates, those scored on more pairs first, and of these the best."""
        remaining = list(dict.fromkeys(candidates))
        references = [] if self.exhaustive else self._references(remaining, never_dropped)
        budget = self._budget(remaining) - len(references) * len(self.pairs)
        sizes = round_sizes(self.rungs, len(remaining) - len(references), budget)
        whole: dict[Candidate, CandidateScore] = {}
        for done, candidate in enumerate(references, start=1):
            for rung in self.rungs:
                whole[candidate] = self._extend(candidate, rung, whole.get(candidate))
            self._report(0, done, references, whole)
        known = [one.values for one in whole.values()]
        scores = dict(whole)
        remaining = [candidate for candidate in remaining if candidate not in whole]
        for number, rung in enumerate(self.rungs, start=1):
            if number > 1 and not self.exhaustive:
                best = {one.candidate for one in _ranked(scores[one] for one in remaining)[: sizes[number - 1]]}
                remaining = [candidate for candidate in remaining if candidate in best]
            for done, candidate in enumerate(remaining, start=1):
                scores[candidate] = self._extend(candidate, rung, scores.get(candidate), known)
                self._report(number, done, remaining, scores)
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
        costs = [self.evaluator.cost(one.template) for one in candidates]
        per_pair = sum(cost.per_pair for cost in costs) / len(costs)
        return (BUDGET * sum(cost.authors for cost in costs) - sum(cost.once for cost in costs)) / per_pair

    def _extend(
        self, candidate: Candidate, rung: Rung, before: CandidateScore | None, references: Sequence[Values] = ()
    ) -> CandidateScore:
        known = self.log.get(candidate, *rung)
        if known is None:
            known = self.evaluator.score(candidate.template, *rung)
            self.log.add(candidate, *rung, known)
        values = known.values if before is None else np.concatenate([before.values, known.values], axis=1)
        if references and rung.stop < len(self.pairs):
            scores = estimate(values, references, self.pairs.scores)
        else:
            gold = self.pairs.scores and self.pairs.scores[: rung.stop]
            scores = tuple(score(layer, gold) for layer in values)
        return CandidateScore(candidate, values, scores, tuple(self.layers))

    def _report(
        self, number: int, done: int, remaining: Sequence[Candidate], scores: dict[Candidate, CandidateScore]
    ) -> None:
        if self.watch is None:
            return
        finished = {one.candidate for one in scores.values() if one.pairs == len(self.pairs)}
        leaders = _ranked(one for one in scores.values() if one.candidate in finished.union(remaining))
        # Round 0 scores on all pairs, as the last one does.
        pairs = self.rungs[number - 1].stop
        self.watch(TuningProgress(number, len(self.rungs), pairs, done, len(remaining), self.log.tokens, leaders))


def _ranked(scores: Iterable[CandidateScore]) -> list[CandidateScore]:
    return sorted(scores, key=lambda one: -one.score)
