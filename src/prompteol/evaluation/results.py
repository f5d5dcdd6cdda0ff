"""Hold the results of an evaluation, and read and write them as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from prompteol.errors import EvaluationError
from prompteol.evaluation.description import ModelDescription
from prompteol.evaluation.tasks import SUITES, Suite

__all__ = ["Evaluation", "TaskScore", "read_results", "results_json"]

_FORMAT = 1


@dataclass(frozen=True)
class TaskScore:
    """Hold one task's score in percent: Spearman x 100 or accuracy.

    ``details`` are further figures (subsets, dev accuracy, F1), ``data`` the SHA-256 of every part read.
    """

    task: str
    metric: str
    score: float
    examples: int
    details: dict[str, Any] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """Hold the scores of one model, the tasks that were missing and why, and what is needed to repeat it."""

    model: ModelDescription
    scores: dict[str, TaskScore]
    missing: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    created: str | None = None
    seconds: float | None = None

    def average(self, suite: Suite) -> float | None:
        """Return the mean over a suite, as the paper's "Avg."; None unless every task of it was scored."""
        names = SUITES[suite]
        if not all(name in self.scores for name in names):
            return None
        return sum(self.scores[name].score for name in names) / len(names)


def results_json(evaluations: Sequence[Evaluation]) -> str:
    """Return evaluations as JSON text, to be read by :func:`read_results` of this and later releases."""
    record = {"format": _FORMAT, "evaluations": [asdict(evaluation) for evaluation in evaluations]}
    return json.dumps(record, indent=2, ensure_ascii=False) + "\n"


def read_results(files: Iterable[str | Path]) -> list[Evaluation]:
    """Read the evaluations of several result files, one after the other.

    Raises:
        EvaluationError: a file that is no result file, or one of a later format.
    """
    return [evaluation for file in files for evaluation in _read(Path(file))]


def _read(file: Path) -> list[Evaluation]:
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        if record["format"] > _FORMAT:
            raise EvaluationError(f"{file} has format {record['format']}; this release reads up to {_FORMAT}: upgrade")
        return [_evaluation(each) for each in record["evaluations"]]
    except OSError as error:
        raise EvaluationError(f"{file} cannot be read: {error.strerror}") from error
    except (KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise EvaluationError(f"{file} is no result file of `prompteol evaluate --output`: {error!r}") from error


def _evaluation(record: dict[str, Any]) -> Evaluation:
    scores = {name: TaskScore(**score) for name, score in record["scores"].items()}
    return Evaluation(
        ModelDescription.from_json(record["model"]),
        scores,
        **{key: record[key] for key in ("missing", "versions", "created", "seconds") if key in record},
    )
