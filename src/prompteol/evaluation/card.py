"""Write scores into a model card: a table with its command for people, model-index metadata for the Hub."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard
from yaml import YAMLError  # type: ignore[import-untyped]

from prompteol.errors import EvaluationError
from prompteol.evaluation.report import markdown
from prompteol.evaluation.results import Evaluation, TaskScore
from prompteol.evaluation.tasks import TASKS
from prompteol.files.atomic import write_text
from prompteol.saving import SCORES_HEADING, folder_name, named

# MTEB has the same pairs of these tasks, and scores them in the same way: all at once, Spearman of the cosine.
_MTEB = {f"STS{year}": f"mteb/sts{year}-sts" for year in range(12, 17)} | {"STS-B": "mteb/stsbenchmark-sts"}


def read_card(file: str | Path) -> ModelCard:
    """Read a card that scores can be written into, or raise EvaluationError."""
    try:
        card = ModelCard(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError, YAMLError) as error:
        reason = " ".join(str(error).split())[:200]
        raise EvaluationError(f"{str(file)!r} is no model card ({reason}): give the README.md of a model") from error
    if f"\n{SCORES_HEADING}\n" not in card.content:
        raise EvaluationError(f"{str(file)!r} has no heading {SCORES_HEADING!r}: add one where the scores are to stand")
    return card


def write_scores(file: str | Path, evaluations: Sequence[Evaluation], tasks: Sequence[str]) -> None:
    """Put the scores of a model, those of others beside it, and the command under the heading of scores.

    The first evaluation is that of the card's own model; its scores become the ``model-index``, which the Hub reads.
    ``tasks`` are those that were asked for.

    Raises:
        EvaluationError: there is no such card, or the model is another one by its fingerprint.
    """
    card, own = read_card(file), evaluations[0]
    said = re.search(r"^- Fingerprint.*`([0-9a-f]{64})`$", card.content, re.MULTILINE)
    if said and own.model.fingerprint and said[1] != own.model.fingerprint:
        raise EvaluationError(
            f"{str(file)!r} is the card of a model with fingerprint {said[1][:12]}..., and scores are those of "
            f"{own.model.fingerprint[:12]}...: evaluate the model as it was saved"
        )
    data: Any = card.data
    name = named(str(card)) or (folder_name(own.model.name) if Path(own.model.name).is_dir() else own.model.name)
    data.model_name = data.get("model_name") or name
    data.eval_results = list(_results(own)) or None
    command = f"prompteol evaluate -m {shlex.quote(name)} --tasks {shlex.quote(','.join(tasks))}"
    tables = markdown(evaluations).replace("## ", "### ")
    section = f"{SCORES_HEADING}\n\n{tables}\n```bash\n{command}\n```\n"
    body = re.sub(
        rf"^{SCORES_HEADING}\n.*?(?=^## |\Z)", lambda _: section + "\n", card.text, flags=re.DOTALL | re.MULTILINE
    )
    write_text(Path(file), f"---\n{data.to_yaml()}\n---\n{body}")


def _results(own: Evaluation) -> Iterator[EvalResult]:
    """Yield scores in the form of MTEB: a share, under MTEB's name where the data is the same."""
    for name, score in own.scores.items():
        same = TASKS[name].suite == "sts" and name in _MTEB
        yield EvalResult(
            task_type="STS" if TASKS[name].suite in ("sts", "dev") else "Classification",
            dataset_type=_MTEB[name] if same else f"SentEval/{name}",
            dataset_name=f"MTEB {name}" if same else name,
            dataset_config="default",
            dataset_split="dev" if TASKS[name].suite == "dev" else "test",
            metric_type=_metric(score),
            metric_value=round(score.score / 100, 6),
        )


def _metric(score: TaskScore) -> str:
    return "cosine_spearman" if score.metric.lower().startswith("spearman") else score.metric.lower()
