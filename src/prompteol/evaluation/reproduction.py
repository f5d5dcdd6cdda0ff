"""Plan the runs that reproduce a table of the paper: models, demonstrations, tasks, sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from prompteol.errors import EvaluationError
from prompteol.evaluation.paper_models import PAPER_MODELS, PaperModel
from prompteol.evaluation.published import Method, PublishedScores, published_scores
from prompteol.evaluation.tasks import Suite

__all__ = ["BYTES", "Dtype", "PaperTable", "Run", "plan"]

PaperTable = Literal["sts", "icl", "fine-tuned", "transfer"]
Dtype = Literal["float32", "float16", "bfloat16"]
BYTES: dict[Dtype, int] = {"float32": 4, "float16": 2, "bfloat16": 2}

_TABLES: dict[PaperTable, tuple[Method, Suite]] = {
    "sts": ("plain", "sts"),
    "icl": ("in-context", "sts"),
    "fine-tuned": ("fine-tuned", "sts"),
    "transfer": ("plain", "transfer"),
}
_CHECKPOINT_BYTES = 2  # OPT and LLaMA are published in half precision.


@dataclass(frozen=True)
class Run:
    """Describe one row of a table to run.

    ``folder`` stands in for the Hub repository; ``demonstrations`` is the name of a preset, or None.
    """

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
        return self.model.parameters * BYTES[dtype] / 1e9


def plan(table: PaperTable, models: Sequence[str] | None = None, folders: Mapping[str, str] | None = None) -> list[Run]:
    """List the runs of a table of the paper, small models first.

    Args:
        table: ``"sts"`` (no demonstration), ``"icl"`` (the best demonstration of each size), ``"fine-tuned"``
            (the released adapters), ``"transfer"``. The models are those with a published figure there.
        models: only these, by names such as ``"opt-125m"``; default all.
        folders: local copies by name, used in place of the Hub.

    Raises:
        EvaluationError: the table has no such model.
    """
    method, suite = _TABLES[table]
    rows = [row for row in published_scores() if row.method == method and _scored(row, suite)]
    names = [row.model for row in rows]
    unknown = [name for name in (*(models or ()), *(folders or ())) if name not in names]
    if unknown:
        raise EvaluationError(f"table {table!r} has no model {unknown[0]!r}; it has {', '.join(names)}")
    return [
        Run(
            name=name,
            model=PAPER_MODELS[name],
            suite=suite,
            demonstrations=name if method == "in-context" else None,
            folder=(folders or {}).get(name),
        )
        for name in names
        if not models or name in models
    ]


def _scored(row: PublishedScores, suite: Suite) -> bool:
    return row.average(suite) is not None
