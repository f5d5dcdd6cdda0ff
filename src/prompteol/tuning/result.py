"""Report what tuning found: the best setting, its gain, the front of gain against cost; and give it to a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from prompteol.techniques.fitting import fit_readout
from prompteol.techniques.module import embedding_module
from prompteol.tuning.candidates import Candidate
from prompteol.tuning.front import Setting, TextCost, pareto_front, settings_of
from prompteol.tuning.scoring import Gain, measure_gain
from prompteol.tuning.successive_halving import CandidateScore

if TYPE_CHECKING:
    from prompteol.data.scored_pairs import ScoredPairs
    from prompteol.sentence_transformers import PromptEOL

HEADER = (
    "rank", "score", "layer", "pairs", "template", "demonstrations", "technique", "passes", "tokens", "dimension",
)  # fmt: skip
FRONT_HEADER = (
    "tokens", "passes", "dimension", "score", "gain", "layer", "template", "demonstrations", "technique",
)  # fmt: skip


@dataclass(frozen=True)
class Tokens:
    """Count the tokens of a tuning run."""

    computed: int  # through the backbone, the engine's checks included, in this run and those it resumed
    authors: int  # by the authors' procedure: every candidate, all pairs, both sentences, whole prompts; no padding

    def __str__(self) -> str:
        share = self.computed / self.authors
        return f"{self.computed:,} tokens computed, {share:.1%} of the authors' procedure ({self.authors:,})"


@dataclass(frozen=True)
class TuningResult:
    """Hold the result of :func:`~prompteol.tuning.tune_prompt`."""

    ranking: Sequence[CandidateScore]  # all candidates, the best first
    baseline: CandidateScore  # the best template alone: no demonstration, no technique; scored on all pairs
    gain: Gain  # the gain of the best over the baseline
    measure: str  # the metric and the pairs, in words
    tokens: Tokens
    provenance: dict[str, Any]  # how template, demonstrations and layer came to be, for the manifest and model card
    pairs: ScoredPairs  # in the order of the values
    costs: Mapping[Candidate, TextCost]
    fit_texts: Sequence[str]  # that the read-out of the best setting is fitted on
    skipped: Mapping[str, str]  # techniques that were not tried, and why
    seed: int = 0

    @property
    def best(self) -> CandidateScore:
        """The best candidate of those scored on all pairs."""
        return self.ranking[0]

    @property
    def candidate(self) -> Candidate:
        """The best prompt, and its forward technique."""
        return self.best.candidate

    @property
    def layer(self) -> int:
        """The best candidate's best layer."""
        return self.best.layer

    @property
    def technique(self) -> str:
        """The best setting's forward technique and read-out as ``--technique`` takes them, or a dash."""
        return self.best.technique_text

    @cached_property
    def front(self) -> Sequence[Setting]:
        """The settings that no other beats at the same tokens and dimension, the cheapest first, with their gains."""
        found = []
        for one in pareto_front(self.settings):
            scores = next(scores for scores in self.ranking if scores.candidate == one.candidate)
            found.append(one._replace(gain=self._gain(scores.values[scores.reads.index(one.read)])))
        return found

    @property
    def settings(self) -> list[Setting]:
        """The best read of each dimension of every candidate that was scored on all pairs."""
        whole = (one for one in self.ranking if one.pairs == self.best.pairs)
        return [setting for one in whole for setting in settings_of(one, self.costs[one.candidate])]

    @property
    def compared(self) -> int:
        """How many settings were compared."""
        return sum(len(one.reads) for one in self.ranking)

    @property
    def warning(self) -> str | None:
        """What to know before using the best setting, or ``None``."""
        if self.candidate.plain and not self.best.read.readout:
            return "no demonstration helps this model on these pairs, nor any technique tried; the best prompt has none"
        if self.gain.within_noise:
            chance = f"the best of {self.compared} settings would gain as much by chance"
            return f"the gain over the template alone, {self.gain}, is within noise: {chance}"
        return None

    def rows(self) -> list[tuple[str, ...]]:
        """Return the final table, a row a candidate, with the columns of :data:`HEADER`."""
        found: list[tuple[str, ...]] = []
        for rank, one in enumerate(self.ranking, start=1):
            cost, read = self.costs[one.candidate], one.read
            figures = str(rank), f"{one.score:.2f}", str(read.layer), str(one.pairs)
            price = str(cost.passes), f"{cost.tokens:.2f}", str(read.dimension)
            what = one.candidate.name, one.candidate.demonstration_text, one.technique_text
            found.append((*figures, *what, *price))
        return found

    def front_rows(self) -> list[tuple[str, ...]]:
        """Return the table of gain against cost, the cheapest first, with the columns of :data:`FRONT_HEADER`."""
        found: list[tuple[str, ...]] = []
        for one in self.front:
            price = f"{one.cost.tokens:.2f}", str(one.cost.passes), str(one.read.dimension)
            what = one.candidate.name, one.candidate.demonstration_text, one.technique_text
            found.append((*price, f"{one.score:.2f}", str(one.gain), str(one.read.layer), *what))
        return found

    def apply_to(self, model: PromptEOL) -> None:
        """Give a model the best prompt, layer, technique and read-out, in place, ready to save."""
        model.set_template(self.candidate.template, layer=self.layer, provenance=self.provenance)
        if self.candidate.technique is not None:
            old = model.module
            options: dict[str, Any] = {"layer": self.layer, "engine": old.engine, "attention": old.attention}
            model[0] = embedding_module(old.transformer, old.template, self.candidate.technique, **options)
        if self.best.read.readout:
            fit_readout(model, self.fit_texts, self.best.read.readout)

    def _gain(self, values: Any) -> Gain:
        theirs = self.baseline.values[self.baseline.reads.index(self.baseline.read)]
        return measure_gain(values, theirs, self.pairs.scores, compared=self.compared, seed=self.seed)
