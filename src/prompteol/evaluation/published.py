"""Know the paper's models and figures, and plan the runs that reproduce one of its tables.

``published.json`` holds only figures that stand in the paper's text (Jiang et al., Findings of EMNLP 2024) or in
the authors' repository (github.com/kongds/scaling_sentemb); ``source`` says which. The parameters in
``paper_models.json`` are counted from the published configurations, tied embeddings once.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal

from prompteol.errors import EvaluationError
from prompteol.evaluation.results import ModelDescription
from prompteol.evaluation.tasks import Suite
from prompteol.prompts import DEMONSTRATIONS, PROMPTEOL

Method = Literal["plain", "in-context", "fine-tuned"]
PaperTable = Literal["sts", "icl", "fine-tuned", "transfer"]
Dtype = Literal["float32", "float16", "bfloat16"]

_TABLES: dict[PaperTable, tuple[Method, Suite]] = {
    "sts": ("plain", "sts"),
    "icl": ("in-context", "sts"),
    "fine-tuned": ("fine-tuned", "sts"),
    "transfer": ("plain", "transfer"),
}
_BYTES: dict[Dtype, int] = {"float32": 4, "float16": 2, "bfloat16": 2}
_CHECKPOINT_BYTES = 2  # OPT and LLaMA are published in half precision.


def _data(name: str) -> Any:
    return json.loads(files("prompteol.evaluation").joinpath(name).read_text(encoding="utf-8"))


@dataclass(frozen=True)
class PaperModel:
    """Name a model of the paper: its repository, its parameters (the base's for an adapter), and an adapter's base."""

    repository: str
    parameters: int
    base: str | None = None


PAPER_MODELS = {name: PaperModel(**model) for name, model in _data("paper_models.json").items()}
"""Every model that the paper or the authors' repository gives figures for, by the name in ``published.json``."""


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


@dataclass(frozen=True)
class Run:
    """Describe one row of a table to run; ``folder`` stands in for the Hub, ``demonstrations`` names a preset."""

    name: str
    model: PaperModel
    suite: Suite
    demonstrations: str | None
    folder: str | None = None

    @property
    def source(self) -> str:
        """Where the model is loaded from."""
        return self.folder or self.model.repository

    @property
    def download_gb(self) -> float:
        """About how much is fetched from the Hub, in GB; 0 for a folder."""
        return 0.0 if self.folder else self.model.parameters * _CHECKPOINT_BYTES / 1e9

    def memory_gb(self, dtype: Dtype) -> float:
        """How much memory the weights alone take, in GB."""
        return self.model.parameters * _BYTES[dtype] / 1e9


@lru_cache
def published_scores() -> tuple[PublishedScores, ...]:
    """Return every row there is."""
    return tuple(PublishedScores(**row) for row in _data("published.json"))


def published_for(model: ModelDescription) -> PublishedScores | None:
    """Return the paper's row for a model, or None if it is not one of the paper's set up as in the paper.

    The last part of the name decides, with the paper's template, its text normalization, the last layer and no further
    technique; without demonstrations, or with the one that the paper found best for that size.
    """
    name = model.name.rstrip("/\\").replace("\\", "/").rpartition("/")[2].lower()
    setup = (model.template, model.normalization, model.layer, model.technique)
    for row in published_scores() if setup == (str(PROMPTEOL), PROMPTEOL.normalization, -1, None) else ():
        shown = [DEMONSTRATIONS[row.model]] if row.method == "in-context" else []
        if row.model == name and model.demonstrations == tuple((one.sentence, one.word) for one in shown):
            return row
    return None


def plan(table: PaperTable, models: Sequence[str] = (), folders: Mapping[str, str] | None = None) -> list[Run]:
    """List the runs of a table of the paper, small models first: all or those named, from the Hub or from folders."""
    method, suite = _TABLES[table]
    folders = folders or {}
    rows = [row for row in published_scores() if row.method == method and row.average(suite) is not None]
    names = [row.model for row in rows]
    unknown = [name for name in (*models, *folders) if name not in names]
    if unknown:
        raise EvaluationError(f"table {table!r} has no model {unknown[0]!r}; it has {', '.join(names)}")
    return [
        Run(name, PAPER_MODELS[name], suite, name if method == "in-context" else None, folders.get(name))
        for name in names
        if not models or name in models
    ]
