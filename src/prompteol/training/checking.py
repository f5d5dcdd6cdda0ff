"""Check that recipe, data and development pairs fit each other, before the base is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from prompteol.data import ScoredPairs, TrainingExamples, read_examples, read_pairs
from prompteol.errors import SettingError, TrainingError
from prompteol.training.recipe import Recipe
from prompteol.training.teacher import Teacher, given_vectors

__all__ = ["TrainingInputs", "check_inputs", "read_inputs"]


@dataclass(frozen=True)
class TrainingInputs:
    """Hold what a model is trained on.

    Args:
        examples: the rows.
        dev: the pairs that checkpoints are evaluated on.
        teacher: of a distillation.
    """

    examples: TrainingExamples
    dev: ScoredPairs | None
    teacher: Teacher | None


def read_inputs(
    data: TrainingExamples | str | Path,
    recipe: Recipe,
    *,
    dev: ScoredPairs | str | Path | None,
    teacher: Teacher | None,
) -> TrainingInputs:
    """Read examples and development pairs, and check that they fit the recipe.

    Raises:
        TrainingError: as for :func:`check_inputs`; or the development pairs have no scores, or an empty sentence.
        SettingError: as for :func:`check_inputs`.
        CorpusError: a file cannot be read.
    """
    examples = data if isinstance(data, TrainingExamples) else read_examples(data, recipe.objective, seed=recipe.seed)
    inputs = TrainingInputs(examples, _development_pairs(dev), teacher)
    check_inputs(inputs, recipe)
    return inputs


def check_inputs(inputs: TrainingInputs, recipe: Recipe) -> None:
    """Check that recipe and data fit each other.

    Raises:
        TrainingError: the columns are not those of the objective, or given vectors are of another number of texts.
        SettingError: the recipe needs what is missing, or has no use for what is given.
    """
    examples, teacher = inputs.examples, inputs.teacher
    one_column = tuple(examples.columns) == ("text",)
    if one_column == (recipe.objective == "contrastive"):
        expected = "anchor and positive" if one_column else "text alone"
        raise TrainingError(
            f"{examples.name}: {recipe.objective} training takes {expected}, not {list(examples.columns)}"
        )
    if len(examples) < recipe.batch_size:
        raise SettingError(
            f"batch_size={recipe.batch_size} is more than the {len(examples)} rows of {examples.name}; lower it"
        )
    if (teacher is None) == (recipe.objective == "distillation"):
        fault = "needs a teacher" if teacher is None else "has no use for a teacher"
        raise SettingError(f"objective={recipe.objective!r} {fault}")
    if recipe.patience and inputs.dev is None:
        raise SettingError(f"patience={recipe.patience} needs development pairs: give dev (--dev), or leave it out")
    if teacher is not None:
        given_vectors(teacher, examples.columns["text"])


def _development_pairs(dev: ScoredPairs | str | Path | None) -> ScoredPairs | None:
    pairs = dev if isinstance(dev, ScoredPairs) or dev is None else read_pairs(dev)
    if pairs is None:
        return None
    if pairs.scores is None:
        raise TrainingError(
            f"{pairs.name}: the development pairs have no scores; give a third column of them, called score"
        )
    for index, pair in enumerate(zip(pairs.first, pairs.second, strict=True)):
        if not all(text.strip() for text in pair):
            raise TrainingError(f"{pairs.name}: pair {index} has an empty sentence; remove it")
    return pairs
