"""What must hold of a training before its base is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from prompteol.data import ScoredPairs, read_pairs
from prompteol.data.training_examples import TrainingExamples
from prompteol.errors import SettingError, TrainingError
from prompteol.training.recipe import Recipe
from prompteol.training.teacher import Teacher, Vectors, given_vectors
from prompteol.training.trainer_setup import launched_processes

__all__ = ["TrainingInputs", "check_training", "development_pairs"]


@dataclass(frozen=True)
class TrainingInputs:
    """What a model is trained on.

    Args:
        examples: the rows.
        pairs: that checkpoints are evaluated on.
        teacher: of a distillation.
        running_text: that the next token is learned from.
        words: the teacher's vectors of the tokenizer's pieces.
    """

    examples: TrainingExamples
    pairs: ScoredPairs | None
    teacher: Teacher | None
    running_text: TrainingExamples | None
    words: Vectors | None


def development_pairs(dev: ScoredPairs | str | Path | None) -> ScoredPairs | None:
    """Return the pairs that checkpoints are evaluated on.

    Raises:
        TrainingError: they have no scores, or an empty sentence.
        CorpusError: the file cannot be read.
    """
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


def check_training(recipe: Recipe, given: TrainingInputs) -> None:
    """Make sure that recipe and data fit each other.

    Raises:
        TrainingError: the columns are not those of the objective, or given vectors are of another number of texts.
        SettingError: the recipe asks for what is not given, or is given what it has no use for.
    """
    examples, teacher = given.examples, given.teacher
    one_column = tuple(examples.columns) == ("text",)
    if one_column == (recipe.objective == "contrastive"):
        wanted = "anchor and positive" if one_column else "text alone"
        raise TrainingError(
            f"{examples.name}: {recipe.objective} training takes {wanted}, not {list(examples.columns)}"
        )
    if len(examples) < recipe.batch_size:
        raise SettingError(
            f"batch_size={recipe.batch_size} is more than the {len(examples)} rows of {examples.name}; lower it"
        )
    if (teacher is None) == (recipe.objective == "distillation"):
        said = "needs a teacher" if teacher is None else "has no use for a teacher"
        raise SettingError(f"objective={recipe.objective!r} {said}")
    if given.running_text is not None and not recipe.language_weight:
        raise SettingError("running_text is for distillation with language_weight above 0; leave it out, or set that")
    if given.running_text is not None and launched_processes() > 1:
        raise SettingError(
            f"running_text with {launched_processes()} processes: each would have another share of it in its batch; "
            "start one process, or leave it out"
        )
    if recipe.patience and given.pairs is None:
        raise SettingError(f"patience={recipe.patience} needs development pairs: give dev (--dev), or leave it out")
    if (given.words is None) == (recipe.word_weight > 0):
        raise SettingError(
            f"word_weight={recipe.word_weight}, and words were {'not ' * (given.words is None)}given: give both"
        )
    if teacher is not None:
        given_vectors(teacher, examples.columns["text"])
