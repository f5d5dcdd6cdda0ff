"""The result of a training: its model, its curve, and what was gained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prompteol.sentence_transformers import PromptEOL
from prompteol.training.curve import Point

__all__ = ["Training"]


@dataclass(frozen=True)
class Training:
    """A training that is done.

    Args:
        model: with the weights that were kept: those of the best checkpoint, or of the last step.
        out: the folder that it is saved in.
        curve: loss and score by step.
        step: of the weights that were kept.
    """

    model: PromptEOL
    out: Path
    curve: Sequence[Point]
    step: int

    @property
    def before(self) -> float | None:
        """The score of the base, where there were development pairs."""
        return next((point.score for point in self.curve if point.step == 0), None)

    @property
    def best(self) -> Point | None:
        """The evaluation with the highest score, where there were development pairs."""
        return max(self._scored(), key=lambda point: (point.score or 0.0, -point.step), default=None)

    @property
    def kept(self) -> Point | None:
        """The evaluation of the weights that were kept, where there was one."""
        return next((point for point in self._scored() if point.step == self.step), None)

    @property
    def gain(self) -> float | None:
        """By how much the kept weights score better than the base; below zero where they are worse."""
        if self.kept is None or self.kept.score is None or self.before is None:
            return None
        return self.kept.score - self.before

    @property
    def verdict(self) -> str | None:
        """That nothing was gained, and what to try; ``None`` where the kept weights are better than the base."""
        if self.gain is None or self.gain > 0:
            return None
        worse = f"worse than the base by {-self.gain:.2f}" if self.gain < 0 else "no better than the base"
        return f"the trained model is {worse}: train for longer, on more rows, or at another learning rate"

    def _scored(self) -> list[Point]:
        return [point for point in self.curve if point.score is not None and point.step > 0]
