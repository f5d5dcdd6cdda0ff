"""Check that recipe, data and development pairs fit each other, and cut the texts to the length that is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn
from transformers import PreTrainedTokenizerBase

from prompteol.data import ScoredPairs, TrainingExamples, read_examples, read_pairs
from prompteol.errors import SettingError, TrainingError
from prompteol.files import chunks
from prompteol.sentence_transformers import PromptEOL
from prompteol.training.recipe import Recipe
from prompteol.training.teacher import Teacher, given_vectors

if TYPE_CHECKING:
    from datasets import Dataset


def read_inputs(
    data: TrainingExamples | str | Path,
    recipe: Recipe,
    *,
    dev: ScoredPairs | str | Path | None,
    teacher: Teacher | None,
) -> tuple[TrainingExamples, ScoredPairs | None]:
    """Read examples and development pairs, and check that they fit the recipe."""
    examples = data if isinstance(data, TrainingExamples) else read_examples(data, recipe.objective, seed=recipe.seed)
    pairs = dev if isinstance(dev, ScoredPairs) or dev is None else read_pairs(dev)
    if pairs is not None:
        _check_development_pairs(pairs)
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
    if recipe.patience and pairs is None:
        raise SettingError(f"patience={recipe.patience} needs development pairs: give dev (--dev), or leave it out")
    if teacher is not None:
        given_vectors(teacher, examples.columns["text"])
    return examples, pairs


def _check_development_pairs(pairs: ScoredPairs) -> None:
    if pairs.scores is None:
        raise TrainingError(
            f"{pairs.name}: the development pairs have no scores; give a third column of them, called score"
        )
    for index, pair in enumerate(zip(pairs.first, pairs.second, strict=True)):
        if not all(text.strip() for text in pair):
            raise TrainingError(f"{pairs.name}: pair {index} has an empty sentence; remove it")


def training_dataset(examples: TrainingExamples, model: PromptEOL, recipe: Recipe) -> Dataset:
    """Return the rows in the columns that the losses take, each text cut before it meets the template.

    Distillation's label is the row, by which the loss finds the teacher's vector.
    """
    from datasets import Dataset

    columns: dict[str, Sequence[str] | Sequence[int]] = {
        name: _truncate(texts, model.tokenizer, recipe.max_text_tokens) for name, texts in examples.columns.items()
    }
    if recipe.objective == "unsupervised":
        _check_dropout(model)
        columns = {"anchor": columns["text"], "positive": columns["text"]}
    elif recipe.objective == "distillation":
        columns["label"] = range(len(examples))
    return Dataset.from_dict(columns)


def _check_dropout(model: PromptEOL) -> None:
    """Refuse a model without dropout, whose two embeddings of a text would be one."""
    modules = any(module.p > 0 for module in model.modules() if isinstance(module, nn.Dropout))
    # Some settings name a dropout of heads that embedding has no use for.
    settings = model.module.config.get_text_config().to_dict().items()
    heads = ("classifier", "summary")
    if not modules and not any(value for name, value in settings if "drop" in name and not name.startswith(heads)):
        raise SettingError(
            "unsupervised training needs dropout, and this model has none: train an adapter with dropout above 0 "
            "(--lora-rank, --lora-dropout)"
        )


def _truncate(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, tokens: int) -> list[str]:
    """Return each text up to the end of its ``tokens``-th token.

    A fast tokenizer tells where a token ends, so that what is left is letter for letter the beginning of the text; a
    slow one decodes, as the authors do.
    """
    short: list[str] = []
    for batch in chunks(texts, 4096):
        encoded = tokenizer(
            batch,
            add_special_tokens=False,
            truncation=False,
            padding=False,
            verbose=False,
            return_attention_mask=False,
            return_offsets_mapping=tokenizer.is_fast,
        )
        for row, (text, ids) in enumerate(zip(batch, encoded["input_ids"], strict=True)):
            if len(ids) <= tokens:
                short.append(text)
            elif tokenizer.is_fast:
                offsets = encoded["offset_mapping"][row]
                start, end = offsets[tokens - 1]
                # Never within a character that is several tokens.
                short.append(text[: start if start > 0 and offsets[tokens][0] < end else end])
            else:
                short.append(str(tokenizer.decode(ids[:tokens])))
    return short
