"""Run candidates over growing samples of the pairs, and drop the poor ones early (successive halving)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from prompteol.data.scored_pairs import ScoredPairs
from prompteol.tuning.candidates import Candidate
from prompteol.tuning.evaluator import Evaluator, VectorRead
from prompteol.tuning.results_log import ResultsLog
from prompteol.tuning.scoring import BLOCK, Values, estimate, score

# The share of the tokens of the authors' procedure; the rest to a tenth is for sentences cut or run without the prefix.
BUDGET = 0.097
_SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
# This many are scored on all pairs even if the budget asks for fewer, so that a small set is compared well.
_FINALISTS = 5
# This many, spread over the candidates, are scored on all pairs at once, to estimate the other scores from. Each
# costs a share of the budget, and five or seven found no more on stories260K.
_REFERENCES = 3
# If this many are known already, they serve instead.
_KNOWN = 4


@dataclass(frozen=True)
class CandidateScore:
    """Hold a candidate's scores."""

    candidate: Candidate
    values: Values  # (reads, pairs): what each read gave for the pairs it has been scored on
    scores: tuple[float, ...]  # x 100, of each read on all pairs: estimated unless it was scored on all of them
    reads: tuple[VectorRead, ...]  # every layer as it is, then those through a read-out

    @property
    def score(self) -> float:
        """The best read's score."""
        return max(self.scores)

    @property
    def read(self) -> VectorRead:
        """The read that scores best; of equals, the one without a read-out, and of these the shallower one."""
        return self.reads[self.scores.index(self.score)]

    @property
    def layer(self) -> int:
        """The layer of the best read."""
        return self.read.layer

    @property
    def pairs(self) -> int:
        """On how many pairs it was scored."""
        return int(self.values.shape[1])

    @cached_property
    def alone(self) -> CandidateScore:
        """The scores without read-outs: one a layer."""
        count = sum(not read.readout for read in self.reads)
        if count == len(self.reads):
            return self
        return CandidateScore(self.candidate, self.values[:count], self.scores[:count], self.reads[:count])

    @property
    def technique_text(self) -> str:
        """The forward technique and the read-out as ``--technique`` takes them, or a dash."""
        return " + ".join(filter(None, (self.candidate.technique_text, self.read.readout))) or "-"

    @property
    def layers(self) -> tuple[int, ...]:
        """The layer of each read."""
        return tuple(read.layer for read in self.reads)


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
    _: KW_ONLY
    exhaustive: bool = False  # every candidate sees all pairs
    watch: Watcher | None = None  # called after each candidate of each round

    @cached_property
    def rungs(self) -> Sequence[Rung]:
        """The rounds. Read-outs are fitted on the states of all sentences, so with them the last one is a whole one."""
        found = rungs(len(self.pairs))
        return [*found[:-1], Rung(0, len(self.pairs))] if self.evaluator.readouts else found

    def run(
        self,
        candidates: Sequence[Candidate],
        *,
        never_dropped: Sequence[Candidate] = (),
        known: Sequence[CandidateScore] = (),
        budget: float | None = None,
    ) -> list[CandidateScore]:
        """Return the scores of all candidates, those scored on more pairs first, and of these the best.

        Args:
            candidates: to compare.
            never_dropped: those of them that are scored on all pairs first.
            known: others that were; the scores of those that leave early are estimated from them, too.
            budget: tokens that may be computed; by default a share of what these candidates cost the authors.
        """
        remaining = list(dict.fromkeys(candidates))
        spread = [] if known else self._spread(remaining, never_dropped)
        references = [] if self.exhaustive else [*never_dropped, *spread]
        affordable = self._affordable(remaining, budget) - len(references) * len(self.pairs)
        sizes = round_sizes(self.rungs, len(remaining) - len(references), affordable)
        whole: dict[Candidate, CandidateScore] = {}
        for done, candidate in enumerate(references, start=1):
            for rung in self._whole:
                whole[candidate] = self._extend(candidate, rung, whole.get(candidate))
            self._report(0, done, references, whole)
        alike = [one.values for one in (*whole.values(), *known[:_KNOWN])]
        scores = dict(whole)
        remaining = [candidate for candidate in remaining if candidate not in whole]
        for number, rung in enumerate(self.rungs, start=1):
            if number > 1 and not self.exhaustive:
                best = {one.candidate for one in _ranked(scores[one] for one in remaining)[: sizes[number - 1]]}
                remaining = [candidate for candidate in remaining if candidate in best]
            elif self.exhaustive and rung not in self._whole:
                continue
            for done, candidate in enumerate(remaining, start=1):
                scores[candidate] = self._extend(candidate, rung, scores.get(candidate), alike)
                self._report(number, done, remaining, scores)
        return sorted(scores.values(), key=lambda one: (-one.pairs, -one.score))

    @cached_property
    def _whole(self) -> Sequence[Rung]:
        """The rounds that bring a candidate to all pairs: the last alone, where it is a whole one."""
        return self.rungs if self.rungs[-1].start else self.rungs[-1:]

    def _spread(self, candidates: Sequence[Candidate], never_dropped: Sequence[Candidate]) -> list[Candidate]:
        """Return a few, spread over the candidates, that are scored on all pairs before the others."""
        others = [candidate for candidate in candidates if candidate not in never_dropped]
        if len(self.rungs) == 1 or len(others) <= _REFERENCES:
            return []
        return [others[(2 * number + 1) * len(others) // (2 * _REFERENCES)] for number in range(_REFERENCES)]

    def _affordable(self, candidates: Sequence[Candidate], budget: float | None) -> float:
        """Return how many pairs may be scored over all rounds, so that tuning stays within its budget."""
        costs = [self.evaluator.cost(one) for one in candidates]
        per_pair = sum(cost.per_pair for cost in costs) / len(costs)
        tokens = BUDGET * sum(cost.authors for cost in costs) if budget is None else budget
        return (tokens - sum(cost.once for cost in costs)) / per_pair

    def _extend(
        self, candidate: Candidate, rung: Rung, before: CandidateScore | None, references: Sequence[Values] = ()
    ) -> CandidateScore:
        readouts = self.evaluator.readouts if rung == (0, len(self.pairs)) else ""
        known = self.log.get(candidate, *rung, readouts)
        if known is None:
            known = self.evaluator.score(candidate, *rung)
            self.log.add(candidate, *rung, known, readouts)
        begun = before is not None and rung.start > 0
        values = np.concatenate([before.values, known.values], axis=1) if before and begun else known.values
        if references and rung.stop < len(self.pairs):
            scores = estimate(values, references, self.pairs.scores)
        else:
            gold = self.pairs.scores and self.pairs.scores[: rung.stop]
            scores = tuple(score(read, gold) for read in values)
        return CandidateScore(candidate, values, scores, known.reads)

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
