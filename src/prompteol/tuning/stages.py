"""Run the stages of tuning: prompts, longer demonstrations, and the best of them under each forward technique."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from prompteol.errors import PromptEOLError, TuningError
from prompteol.prompts import Demonstration
from prompteol.tuning.candidates import Candidate, distinct_candidates
from prompteol.tuning.choosing import ChosenTechniques
from prompteol.tuning.front import TextCost
from prompteol.tuning.successive_halving import BUDGET, CandidateScore, SuccessiveHalving

# So many of the best demonstrations are tried under each technique, beside none.
_CARRIED = 5


@dataclass
class Stages:
    """Compare all prompts, and under techniques those that did best alone."""

    halving: SuccessiveHalving
    own: Candidate  # the model's own template, which costs are relative to
    plain: Sequence[Candidate]  # templates without demonstrations
    shots: Sequence[Demonstration]
    techniques: ChosenTechniques
    max_demonstrations: int
    budget: float | None  # tokens of a text, relative to those under the model's own template
    authors: float = field(default=0.0, init=False)  # tokens of the authors' procedure for all that could be tried

    def run(self) -> list[CandidateScore]:
        """Return the scores of all candidates, the best first."""
        plain = self._affordable(self.plain)
        if not plain:
            costs = ", ".join(f"{self.text_cost(one).tokens:.2f}" for one in self.plain)
            raise TuningError(f"budget={self.budget} is below what the templates cost without demonstrations: {costs}")
        prompts = self._affordable([*plain, *(one.followed_by(shot) for one in plain for shot in self.shots)])
        ranking = self._compare(prompts, plain)
        for _ in range(self.max_demonstrations - 1):
            best = ranking[0]
            rest = [shot for shot in self.shots if shot not in best.candidate.demonstrations]
            longer = self._affordable([best.candidate.followed_by(shot) for shot in rest])
            if not best.candidate.demonstrations or not longer:
                break
            ranking = _merged(ranking, self._compare(longer))
            if ranking[0] is best:
                break
        return self._under_techniques(ranking)

    def text_cost(self, candidate: Candidate) -> TextCost:
        """Return what a text costs under a candidate."""
        cost, own = (self.halving.evaluator.cost(one) for one in (candidate, self.own))
        return TextCost(cost.passes, round(cost.authors / own.authors, 2))

    def _under_techniques(self, ranking: list[CandidateScore]) -> list[CandidateScore]:
        """Add to a ranking what its best prompts, and those without demonstrations, give under each technique."""
        prompts = [one.candidate for one in ranking]
        shown = [one for one in prompts if one.demonstrations]
        carried = prompts if self.halving.exhaustive else [*self.plain, *shown[:_CARRIED]]
        tried: list[Candidate] = []
        authors = self.authors
        for technique in self.techniques.forward:
            try:
                self.halving.evaluator.check(self.own.under(technique))
            except PromptEOLError as error:
                self.techniques.pass_over(technique, error)
                continue
            fitting = filter(self.halving.evaluator.leaves_room, (one.under(technique) for one in prompts))
            every = self._affordable(distinct_candidates(fitting))
            self._count(every)
            tried += distinct_candidates(one for one in every if one.alone in carried)
        if not tried:
            return ranking
        budget = BUDGET * (self.authors - authors)
        known = [one for one in ranking if one.pairs == len(self.halving.pairs)]
        return _merged(ranking, self.halving.run(tried, known=known, budget=budget))

    def _compare(self, prompts: Sequence[Candidate], plain: Sequence[Candidate] = ()) -> list[CandidateScore]:
        self._count(prompts)
        return self.halving.run(prompts, never_dropped=plain)

    def _count(self, candidates: Sequence[Candidate]) -> None:
        self.authors += sum(self.halving.evaluator.cost(one).authors for one in candidates)

    def _affordable(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Return the candidates within the budget."""
        most = float("inf") if self.budget is None else self.budget
        return [one for one in candidates if self.text_cost(one).tokens <= most]


def _merged(ranking: Sequence[CandidateScore], more: Sequence[CandidateScore]) -> list[CandidateScore]:
    return sorted([*ranking, *more], key=lambda one: (-one.pairs, -one.score))
