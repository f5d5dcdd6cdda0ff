"""Evaluate a model or a baseline: load the tasks, embed every sentence once, score each task."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

from prompteol.errors import EvaluationError, ModelError
from prompteol.evaluation.results import Evaluation, ModelDescription, TaskScore, describe, versions
from prompteol.evaluation.scoring import score_sts, score_transfer
from prompteol.evaluation.sources import HubDatasets, SentEvalFolder
from prompteol.evaluation.tasks import TASKS, Embed, StsData, TaskData, TaskNotFoundError, TransferData, parse_tasks
from prompteol.files import chunks
from prompteol.progress import Advance, Progress, batches, no_progress
from prompteol.sentence_transformers import PromptEOL
from prompteol.validation import check_finite

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_CHUNK = 1024


class Encoder(Protocol):
    """Turn sentences into an array of shape (sentences, dimensions); the options that it knows are given to it."""

    def encode(self, sentences: list[str], /) -> Any:
        """Embed the sentences."""
        ...


@dataclass(frozen=True)
class Benchmark:
    """Hold the tasks to evaluate on, read once for all models, and why others are missing."""

    tasks: dict[str, TaskData]
    missing: dict[str, str]

    @property
    def size(self) -> int:
        """How many sentences the tasks hold, counting each as often as it comes."""
        return sum(len(data.sentences()) for data in self.tasks.values())

    def sentences(self) -> set[str]:
        """Return the distinct sentences of all tasks."""
        return {sentence for data in self.tasks.values() for sentence in data.sentences()}


def load_benchmark(source: SentEvalFolder | HubDatasets, tasks: Sequence[str] = ("sts",)) -> Benchmark:
    """Read tasks by names and groups; EvaluationError where a name is unknown, a file damaged, or nothing is there."""
    found: dict[str, TaskData] = {}
    missing: dict[str, str] = {}
    for task in parse_tasks(tasks):
        try:
            found[task.name] = source.load(task) if task.load is None else task.load()
        except TaskNotFoundError as error:
            missing[task.name] = str(error)
    if not found:
        first = next(iter(missing.values()), "no task was named")
        raise EvaluationError(f"none of the tasks {', '.join(missing)} was found: {first}")
    return Benchmark(found, missing)


def evaluate(
    model: Encoder | str | Path | None,
    tasks: Benchmark | str | Sequence[str] = "sts",
    *,
    senteval: str | Path | None = None,
    name: str | None = None,
    batch_size: int | None = None,
    progress: Progress = no_progress,
) -> Evaluation:
    """Evaluate a model.

    Args:
        model: a ``PromptEOL``, any ``SentenceTransformer``, or anything with their ``encode``; a folder or Hub name is
            loaded, and ``None`` is the small model that ships with the package.
        tasks: names of tasks and groups, also in one string with commas; or a benchmark from :func:`load_benchmark`,
            which several models share.
        senteval: SentEval's ``data/downstream`` folder; ``None`` reads the tasks from the Hub.
        name: the model's name in tables, by which the paper's figures are found; by default where it was loaded from.
        batch_size: sentences that are embedded at once; ``None`` leaves it to the model.
        progress: shows how far it is; default nothing.

    Raises:
        EvaluationError: as for :func:`load_benchmark`.
        NonFiniteError: the model gives NaN or infinity for a sentence.
    """
    if not isinstance(tasks, Benchmark):
        names = tasks.split(",") if isinstance(tasks, str) else tasks
        tasks = load_benchmark(HubDatasets() if senteval is None else SentEvalFolder(senteval), names)
    if model is None or isinstance(model, (str, Path)):
        name = name or ("embedded default" if model is None else str(model))
        model = PromptEOL(model)
    card = getattr(model, "model_card_data", None)
    name = name or str(getattr(card, "base_model", None) or type(model).__name__)
    started = time.perf_counter()
    sentences = sorted(tasks.sentences(), key=lambda sentence: (-len(sentence), sentence))
    with progress(f"{name}: embedding", len(sentences)) as advance:
        embed = _embed_once(model, sentences, batch_size, advance)
    return evaluate_features(embed, tasks, description=describe(model, name), progress=progress, started=started)


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


def _score(name: str, data: TaskData, embed: Embed) -> TaskScore:
    task = TASKS[name]
    parts = getattr(data, "parts", {})
    if task.score is not None:
        return TaskScore(name, task.metric, float(task.score(data, embed)), len(data.sentences()), data=parts)
    if isinstance(data, StsData):
        score, subsets = score_sts(data, embed)
        return TaskScore(name, "spearman", score, len(data.sentences()) // 2, {"subsets": subsets}, parts)
    if isinstance(data, TransferData):
        result = score_transfer(data, embed)
        details: dict[str, Any] = {"dev_accuracy": result.dev_accuracy, "C": result.regularization}
        details |= {} if result.f1 is None else {"f1": result.f1}
        count = len(data.splits["test" if "test" in data.splits else "all"].labels)
        return TaskScore(name, "accuracy", result.accuracy, count, details, parts)
    raise EvaluationError(f"{type(data).__name__} is neither StsData nor TransferData: give the task a score function")


def _embed_once(model: Encoder, sentences: Sequence[str], batch_size: int | None, advance: Advance) -> Embed:
    """Embed the sentences, and return a function that looks up their float32 vectors."""
    given = {"show_progress_bar": False} | ({} if batch_size is None else {"batch_size": batch_size})
    takes = inspect.signature(model.encode).parameters
    everything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in takes.values())
    options = {name: value for name, value in given.items() if everything or name in takes}
    found: list[NDArray[np.float32]] = []
    with batches(model, advance) as done:
        for chunk in chunks(sentences, _CHUNK):
            found.append(np.asarray(model.encode(chunk, **options), dtype=np.float32))
            check_finite(found[-1], chunk)
            done(len(chunk))
    vectors, row = np.concatenate(found), {sentence: number for number, sentence in enumerate(sentences)}

    def embed(wanted: Sequence[str]) -> NDArray[np.float32]:
        absent = next((sentence for sentence in wanted if sentence not in row), None)
        if absent is not None:
            raise EvaluationError(f"the task scores {absent!r:.80}, which is none of its sentences()")
        return np.asarray(vectors[[row[sentence] for sentence in wanted]])

    return embed


def tfidf(sentences: Sequence[str]) -> Any:
    """Return scikit-learn's tf-idf vectors, a sparse row each, fitted on these very sentences, as SentEval permits."""
    return TfidfVectorizer().fit_transform(sentences)


class MeanPooling:
    """Embed sentences as the mean of the backbone's last hidden states over all tokens, with no prompt.

    The paper's "avg" row: the same weights, the same tokenizer (with the BOS it adds), another vector.
    """

    def __init__(self, model: SentenceTransformer) -> None:
        module: Any = getattr(model[0], "transformer", model[0])
        self._backbone: Any = getattr(module, "model", None)
        self._tokenizer: Any = getattr(module, "tokenizer", None)
        if self._backbone is None or self._tokenizer is None:
            raise ModelError(f"{type(model[0]).__name__} holds no backbone and tokenizer to pool over")

    def parameters(self) -> Iterator[Any]:
        """Iterate over the backbone's weights, for its size and dtype."""
        return iter(self._backbone.parameters())

    def encode(self, sentences: list[str], *, batch_size: int = 32, **_: Any) -> NDArray[np.float32]:
        """Embed sentences: float32, shape (sentences, hidden size)."""
        import torch

        # A text of no token, an empty one without BOS, is taken for the end of a text.
        end = self._tokenizer.eos_token_id or 0
        tokens = [ids or [end] for ids in self._tokenizer(list(sentences), truncation=True)["input_ids"]]
        order = sorted(range(len(tokens)), key=lambda number: len(tokens[number]))
        rows: list[NDArray[np.float32]] = []
        with torch.inference_mode():
            # In batches of equal length there is no padding, so nothing depends on a pad token or on positions.
            for _length, equal in groupby(order, key=lambda number: len(tokens[number])):
                for batch in chunks(equal, batch_size):
                    inputs = torch.tensor([tokens[number] for number in batch], device=self._backbone.device)
                    states = self._backbone(input_ids=inputs, attention_mask=torch.ones_like(inputs)).last_hidden_state
                    rows.append(states.float().mean(dim=1).cpu().numpy())
        return np.concatenate(rows)[np.argsort(order)]
