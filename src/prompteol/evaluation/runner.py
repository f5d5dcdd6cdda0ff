"""Evaluating a model: load the tasks, embed every sentence once, score each task."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Protocol

from prompteol.errors import EvaluationError
from prompteol.evaluation.description import ModelDescription, describe, versions
from prompteol.evaluation.embedding_store import EmbeddingStore, Encoder
from prompteol.evaluation.results import Evaluation, TaskScore
from prompteol.evaluation.sts import score_sts
from prompteol.evaluation.tasks import StsData, Task, TaskNotFoundError, TransferData, parse_tasks
from prompteol.evaluation.transfer import score_transfer
from prompteol.progress import Progress, no_progress

__all__ = ["Benchmark", "Progress", "TaskSource", "evaluate", "evaluate_features", "load_benchmark"]

Embed = Callable[[Sequence[str]], Any]


class TaskSource(Protocol):
    """Where tasks come from: a SentEval folder, or the Hub."""

    def load(self, task: Task) -> StsData | TransferData:
        """Read a task, or raise TaskNotFoundError."""
        ...


@dataclass(frozen=True)
class Benchmark:
    """Hold the tasks to evaluate on, read once for all models, and why others are missing."""

    tasks: dict[str, StsData | TransferData]
    missing: dict[str, str]

    @property
    def size(self) -> int:
        """How many sentences the tasks hold, counting each as often as it comes."""
        return sum(len(data.sentences()) for data in self.tasks.values())

    def sentences(self) -> set[str]:
        """Return the distinct sentences of all tasks."""
        return {sentence for data in self.tasks.values() for sentence in data.sentences()}


def load_benchmark(source: TaskSource, tasks: Sequence[str] = ("sts",)) -> Benchmark:
    """Read tasks from a source.

    Args:
        source: a :class:`SentEvalFolder` or :class:`HubDatasets`.
        tasks: names of tasks and groups, see :func:`~prompteol.evaluation.tasks.parse_tasks`.

    Raises:
        EvaluationError: no task has such a name.
        EvaluationError: a file is damaged (file and line are named), or none of the tasks is there.
    """
    found: dict[str, StsData | TransferData] = {}
    missing: dict[str, str] = {}
    for task in parse_tasks(tasks):
        try:
            found[task.name] = source.load(task)
        except TaskNotFoundError as error:
            missing[task.name] = str(error)
    if not found:
        first = next(iter(missing.values()), "no task was asked for")
        raise EvaluationError(f"none of the tasks {', '.join(missing)} was found: {first}")
    return Benchmark(found, missing)


def evaluate(
    model: Encoder,
    benchmark: Benchmark,
    *,
    name: str,
    batch_size: int | None = None,
    progress: Progress = no_progress,
) -> Evaluation:
    """Evaluate a model on every task of a benchmark.

    Args:
        model: a ``PromptEOL``, any ``SentenceTransformer``, or anything with their ``encode``.
        benchmark: from :func:`load_benchmark`.
        name: the model's name in tables; the paper's figures are found by it.
        batch_size: sentences handed over at once; ``None`` leaves it to the model.
        progress: opens a progress bar; default none.

    Raises:
        NonFiniteError: the model gives NaN or infinity for a sentence.
    """
    store = EmbeddingStore(model, batch_size=batch_size)
    started = time.perf_counter()
    sentences = benchmark.sentences()
    with progress(f"{name}: embedding", len(sentences)) as advance:
        store.add(sentences, advance=advance)
    return evaluate_features(
        store.embed, benchmark, description=describe(model, name), progress=progress, started=started
    )


def evaluate_features(
    embed: Embed,
    benchmark: Benchmark,
    *,
    description: ModelDescription,
    progress: Progress = no_progress,
    started: float | None = None,
) -> Evaluation:
    """Evaluate features that are computed task by task, such as tf-idf: ``embed`` gets a task's sentences."""
    started = time.perf_counter() if started is None else started
    scores: dict[str, TaskScore] = {}
    with progress(f"{description.name}: scoring", benchmark.size) as advance:
        for task, data in benchmark.tasks.items():
            try:
                scores[task] = _score(task, data, embed)
            except EvaluationError as error:
                raise EvaluationError(f"{description.name}, {task}: {error}") from error
            advance(len(data.sentences()))
    return Evaluation(
        model=description,
        scores=scores,
        missing=dict(benchmark.missing),
        versions=versions(),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        seconds=round(time.perf_counter() - started, 3),
    )


def _score(task: str, data: StsData | TransferData, embed: Embed) -> TaskScore:
    if isinstance(data, StsData):
        score, subsets = score_sts(data, embed)
        count = sum(len(subset.gold) for subset in data.subsets)
        return TaskScore(task, "spearman", score, count, {"subsets": subsets}, data.parts)
    result = score_transfer(data, embed)
    details: dict[str, Any] = {"dev_accuracy": result.dev_accuracy, "C": result.regularization}
    if result.f1 is not None:
        details["f1"] = result.f1
    count = len(data.splits.get("test", data.splits.get("all")).labels)  # type: ignore[union-attr]
    return TaskScore(task, "accuracy", result.accuracy, count, details, data.parts)
