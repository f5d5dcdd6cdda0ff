"""Weigh gain against cost: the settings that no other beats at the same tokens and dimension."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from prompteol.tuning.candidates import Candidate
from prompteol.tuning.evaluator import VectorRead
from prompteol.tuning.scoring import Gain
from prompteol.tuning.successive_halving import CandidateScore


class TextCost(NamedTuple):
    """Hold what a setting costs a text that is embedded alone."""

    passes: int  # through the backbone
    tokens: float  # in whole prompts, relative to the model's own template without demonstrations


class Setting(NamedTuple):
    """Hold a candidate as it is read, its score and its cost."""

    candidate: Candidate
    read: VectorRead
    score: float  # x 100, on all pairs
    cost: TextCost
    gain: Gain | None = None  # over the best template alone

    @property
    def technique_text(self) -> str:
        """The forward technique and the read-out as ``--technique`` takes them, or a dash."""
        return " + ".join(filter(None, (self.candidate.technique_text, self.read.readout))) or "-"


def settings_of(scores: CandidateScore, cost: TextCost) -> list[Setting]:
    """Return the best read of each dimension."""
    best: dict[int, Setting] = {}
    for read, score in zip(scores.reads, scores.scores, strict=True):
        if read.dimension not in best or score > best[read.dimension].score:
            best[read.dimension] = Setting(scores.candidate, read, score, cost)
    return list(best.values())


def pareto_front(settings: Iterable[Setting]) -> Sequence[Setting]:
    """Return the settings with no other of so few tokens and dimensions that scores as well, the cheapest first."""
    front: list[Setting] = []
    for one in sorted(settings, key=lambda one: (one.cost.tokens, one.read.dimension, -one.score)):
        if not any(other.read.dimension <= one.read.dimension and other.score >= one.score for other in front):
            front.append(one)
    return front
