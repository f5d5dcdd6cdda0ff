"""The paper's figures, found by a model's name, its template and its demonstrations.

``published.json`` holds only figures that stand in the paper's text (Jiang et al., Findings of EMNLP 2024) or in
the authors' repository (github.com/kongds/scaling_sentemb); ``source`` says which. Where neither gives a score for
a task, none is shown.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Literal

from prompteol.evaluation.description import ModelDescription
from prompteol.evaluation.tasks import Suite
from prompteol.prompts import DEMONSTRATIONS, PROMPTEOL

__all__ = ["Method", "PublishedScores", "published_for", "published_scores"]

Method = Literal["plain", "in-context", "fine-tuned"]


@dataclass(frozen=True)
class PublishedScores:
    """Hold what the paper gives for one model and method: scores by task, and of ``"sts average"`` and the like."""

    model: str
    method: Method
    source: str
    scores: dict[str, float]

    def average(self, suite: Suite) -> float | None:
        """Return the paper's "Avg." of a suite, as printed."""
        return self.scores.get(f"{suite} average")


@lru_cache
def published_scores() -> tuple[PublishedScores, ...]:
    """Return every row there is."""
    text = files("prompteol.evaluation").joinpath("published.json").read_text(encoding="utf-8")
    return tuple(PublishedScores(**row) for row in json.loads(text))


def published_for(model: ModelDescription) -> PublishedScores | None:
    """Return the paper's row for a model, or None if it is not one of the paper's set up as in the paper.

    The last part of the name decides (``facebook/opt-1.3b``, ``royokong/prompteol-opt-1.3b``, a folder
    ``opt-1.3b``), with the paper's template, its text normalization and the last layer; without demonstrations,
    or with the one that the paper found best for that size.
    """
    name = model.name.rstrip("/\\").replace("\\", "/").rpartition("/")[2].lower()
    if (model.template, model.normalization, model.layer) != (str(PROMPTEOL), PROMPTEOL.normalization, -1):
        return None
    for row in published_scores():
        if row.model == name and model.demonstrations == _demonstrations(row):
            return row
    return None


def _demonstrations(row: PublishedScores) -> tuple[tuple[str, str], ...]:
    if row.method != "in-context":
        return ()
    best = DEMONSTRATIONS[row.model]
    return ((best.sentence, best.word),)
