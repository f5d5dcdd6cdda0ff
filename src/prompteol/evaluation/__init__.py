"""The paper's fourteen tasks: STS by Spearman correlation, transfer by logistic regression."""

from prompteol.evaluation.hub import HubDatasets
from prompteol.evaluation.published import PublishedScores, published_for
from prompteol.evaluation.results import Evaluation, TaskScore, read_results, results_json
from prompteol.evaluation.runner import Benchmark, evaluate, load_benchmark
from prompteol.evaluation.senteval_folder import SentEvalFolder
from prompteol.evaluation.tasks import TASKS, parse_tasks

__all__ = [
    "TASKS",
    "Benchmark",
    "Evaluation",
    "HubDatasets",
    "PublishedScores",
    "SentEvalFolder",
    "TaskScore",
    "evaluate",
    "load_benchmark",
    "parse_tasks",
    "published_for",
    "read_results",
    "results_json",
]
