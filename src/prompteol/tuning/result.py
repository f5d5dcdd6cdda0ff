"""What a search found: the best setting, what it gains, how every candidate did, and the model it makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prompteol.tuning.candidate import Candidate
from prompteol.tuning.gain import Gain
from prompteol.tuning.successive_halving import CandidateScore

if TYPE_CHECKING:
    from prompteol.sentence_transformers import PromptEOL

__all__ = ["HEADER", "Tokens", "TuningResult"]

HEADER = ("rank", "score", "layer", "pairs", "template", "demonstrations")


@dataclass(frozen=True)
class Tokens:
    """What a search cost.

    Args:
        computed: through the backbone, prefixes and the engine's checks included, in this run and those it resumed.
        authors: what the authors' procedure computes for the same candidates: every candidate, all pairs, both
            sentences, the whole prompt each time; without the padding that it also computes.
    """

    computed: int
    authors: int

    def __str__(self) -> str:
        share = self.computed / self.authors
        return f"{self.computed:,} tokens computed, {share:.1%} of the authors' procedure ({self.authors:,})"


@dataclass(frozen=True)
class TuningResult:
    """The outcome of :func:`~prompteol.tuning.tune_prompt`.

    Args:
        standings: of all candidates, the best first.
        baseline: the best without demonstrations, scored on all pairs.
        gain: of the best over the baseline.
        measure: what was scored, on what, for people.
        tokens: the cost.
        provenance: how template, demonstrations and layer came to be, for ``prompteol.json`` and the model card.
    """

    standings: Sequence[CandidateScore]
    baseline: CandidateScore
    gain: Gain
    measure: str
    tokens: Tokens
    provenance: dict[str, Any]

    @property
    def best(self) -> CandidateScore:
        """The best candidate of those scored on all pairs."""
        return self.standings[0]

    @property
    def candidate(self) -> Candidate:
        """The best prompt."""
        return self.best.candidate

    @property
    def layer(self) -> int:
        """The best prompt's best layer."""
        return self.best.layer

    @property
    def warning(self) -> str | None:
        """What to know before using the best setting, or ``None``."""
        if not self.candidate.demonstrations:
            return "no demonstration helps this model on these pairs; the best prompt has none"
        if self.gain.within_noise:
            return (
                f"the gain over no demonstration, {self.gain}, is within noise: the best of "
                f"{len(self.standings)} prompts would gain as much by chance"
            )
        return None

    def rows(self) -> list[tuple[str, ...]]:
        """Return the final table, a row a candidate, with the columns of :data:`HEADER`.

        The same for the same search, however often it was stopped and resumed.
        """
        return [
            (
                str(rank),
                f"{one.score:.2f}",
                str(one.layer),
                str(one.pairs),
                one.candidate.name,
                one.candidate.shown,
            )
            for rank, one in enumerate(self.standings, start=1)
        ]

    def apply_to(self, model: PromptEOL) -> None:
        """Give a model the best prompt and layer, in place, ready to save."""
        model.set_template(self.candidate.template, layer=self.layer, provenance=self.provenance)
