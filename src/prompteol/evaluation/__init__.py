"""Evaluate models on the paper's fourteen tasks, or on tasks of your own."""

from prompteol.evaluation.published import PublishedScores, published_for
from prompteol.evaluation.results import Evaluation, TaskScore, read_results, results_json
from prompteol.evaluation.runner import Benchmark, evaluate, load_benchmark
from prompteol.evaluation.sources import HubDatasets, SentEvalFolder
from prompteol.evaluation.tasks import (
    TASKS,
    LabeledTexts,
    StsData,
    StsSubset,
    Task,
    TransferData,
    parse_tasks,
    register_task,
)

__all__ = [
    "TASKS", "Benchmark", "Evaluation", "HubDatasets", "LabeledTexts", "PublishedScores", "SentEvalFolder", "StsData",
    "StsSubset", "Task", "TaskScore", "TransferData", "evaluate", "load_benchmark", "parse_tasks", "published_for",
    "read_results", "register_task", "results_json",
]  # fmt: skip
