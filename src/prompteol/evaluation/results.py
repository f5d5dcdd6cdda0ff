"""Hold the results of an evaluation, what is needed to repeat it, and read and write them as JSON."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prompteol.errors import EvaluationError
from prompteol.evaluation.tasks import SUITES, Suite

if TYPE_CHECKING:
    from prompteol.prompts import PromptTemplate

_FORMAT = 1
_PACKAGES = "prompteol sentence-transformers transformers torch tokenizers peft scikit-learn scipy numpy datasets"


@dataclass(frozen=True)
class ModelDescription:
    """Describe an evaluated model; what does not apply to it is None.

    ``template`` shows the prompt with ``{text}`` where the sentence goes and no demonstrations; those stand in
    ``demonstrations`` as (sentence, word). ``layer`` is negative, -1 the last. ``technique`` names those used.
    """

    name: str
    template: str | None = None
    normalization: str | None = None
    demonstrations: tuple[tuple[str, str], ...] = ()
    layer: int | None = None
    dtype: str | None = None
    dimensions: int | None = None
    parameters: int | None = None
    fingerprint: str | None = None
    technique: str | None = None


@dataclass(frozen=True)
class TaskScore:
    """Hold one task's score in percent, further figures, and the SHA-256 of every part read."""

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
        scores = [self.scores[name].score for name in SUITES[suite] if name in self.scores]
        return sum(scores) / len(scores) if len(scores) == len(SUITES[suite]) else None


def describe(model: Any, name: str) -> ModelDescription:
    """Describe a model by its attributes: a PromptEOL in full, any other encoder as far as it has them."""
    templates = getattr(model, "template", None)
    template: PromptTemplate | None = templates.for_task(None) if templates is not None else None
    provenance = getattr(model, "provenance", {})
    parameters = list(model.parameters()) if hasattr(model, "parameters") else []
    return ModelDescription(
        name=name,
        template=str(template.with_demonstrations(())) if template else None,
        normalization=template.normalization if template else None,
        demonstrations=tuple((d.sentence, d.word) for d in template.demonstrations) if template else (),
        layer=getattr(model, "layer", None),
        dtype=str(parameters[0].dtype).removeprefix("torch.") if parameters else None,
        dimensions=model.get_embedding_dimension() if hasattr(model, "get_embedding_dimension") else None,
        parameters=sum(parameter.numel() for parameter in parameters) or None,
        fingerprint=model.fingerprint() if hasattr(model, "fingerprint") else None,
        technique="; ".join(provenance[name] for name in ("technique", "readout") if name in provenance) or None,
    )


def versions() -> dict[str, str]:
    """List the versions that a score may depend on: Python's and those of the packages installed."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES.split():
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def results_json(evaluations: Sequence[Evaluation]) -> str:
    """Return evaluations as JSON text, to be read by :func:`read_results` of this and later releases."""
    record = {"format": _FORMAT, "evaluations": [asdict(evaluation) for evaluation in evaluations]}
    return json.dumps(record, indent=2, ensure_ascii=False) + "\n"


def read_results(files: Iterable[str | Path]) -> list[Evaluation]:
    """Read the evaluations of several result files, one after the other; EvaluationError where one is none."""
    found: list[Evaluation] = []
    for file in files:
        try:
            record = json.loads(Path(file).read_text(encoding="utf-8"))
            if (given := record["format"]) > _FORMAT:
                raise EvaluationError(f"{file} has format {given}; this release reads up to {_FORMAT}: upgrade")
            found += map(_evaluation, record["evaluations"])
        except OSError as error:
            raise EvaluationError(f"{file} cannot be read: {error.strerror}") from error
        except (KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise EvaluationError(f"{file} is no result file of `prompteol evaluate --output`: {error!r}") from error
    return found


def _evaluation(record: dict[str, Any]) -> Evaluation:
    # Fields of other releases are passed over.
    known = {field.name for field in fields(ModelDescription)}
    model = {name: value for name, value in record["model"].items() if name in known}
    shown = tuple((sentence, word) for sentence, word in model.pop("demonstrations", ()))
    scores = {name: TaskScore(**score) for name, score in record["scores"].items()}
    rest = {key: record[key] for key in ("missing", "versions", "created", "seconds") if key in record}
    return Evaluation(ModelDescription(**model, demonstrations=shown), scores, **rest)
