"""The stock trainer of sentence-transformers, told a recipe."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from prompteol.data import ScoredPairs
from prompteol.data.training_examples import TrainingExamples
from prompteol.errors import SettingError
from prompteol.prompts import RetrievalTemplate
from prompteol.sentence_transformers import PromptEOL
from prompteol.training.curve import SCORE
from prompteol.training.distillation import running_label
from prompteol.training.recipe import Recipe
from prompteol.training.truncation import truncate_texts

if TYPE_CHECKING:
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments

__all__ = ["build_trainer", "launched_processes", "training_arguments", "training_dataset"]

# A day: the other processes wait while the first one lets the teacher embed.
_PROCESS_TIMEOUT_S = 86_400
_KEPT_CHECKPOINTS = 2
_EVALUATION_BATCH = 256
# What a card shows to try the model on: else the trainer picks texts to train on, and draws a bar meanwhile.
_WIDGET: dict[str, Any] = {
    "source_sentence": "The weather is lovely today.",
    "sentences": ["It's so sunny outside!", "He drove to the stadium."],
}


def launched_processes() -> int:
    """Return of how many processes this is one, as torchrun and accelerate tell each."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def training_arguments(
    recipe: Recipe, folder: Path, *, device: torch.device, scored: bool, quiet: bool, further: Mapping[str, Any]
) -> SentenceTransformerTrainingArguments:
    """Translate a recipe; the global batch is split over the processes that were launched.

    Args:
        recipe: to follow.
        folder: of the checkpoints.
        device: that the model is on.
        scored: whether there are development pairs.
        quiet: show no progress bar.
        further: arguments of the caller's, which win over those of here; see :func:`check_arguments`.

    Raises:
        SettingError: the batch cannot be split evenly, one process would drive several GPUs, or the trainer refuses an
            argument.
    """
    from sentence_transformers import SentenceTransformerTrainingArguments

    on_cpu = device.type == "cpu"
    half = not on_cpu and torch.cuda.is_available()
    bf16 = half and torch.cuda.is_bf16_supported(including_emulation=False)
    own: dict[str, Any] = {
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": recipe.warmup_steps,
        "num_train_epochs": recipe.epochs,
        "seed": recipe.seed,
        "data_seed": recipe.seed,
        # Both at once is what the trainer refuses, so the caller's one replaces ours.
        "bf16": bf16 and not further.get("fp16"),
        "fp16": half and not bf16 and not further.get("bf16"),
        "use_cpu": on_cpu,
        "ddp_backend": "gloo" if on_cpu and launched_processes() > 1 else None,
        "ddp_timeout": _PROCESS_TIMEOUT_S,
        "dataloader_drop_last": True,
        "dataloader_pin_memory": not on_cpu,
        "per_device_eval_batch_size": _EVALUATION_BATCH,
        "logging_steps": recipe.log_steps,
        "logging_first_step": True,
        # Else a loss that is no number is shown as the mean of those before it.
        "logging_nan_inf_filter": False,
        "save_steps": recipe.eval_steps,
        "save_total_limit": _KEPT_CHECKPOINTS,
        "eval_strategy": "steps" if scored else "no",
        "eval_steps": recipe.eval_steps if scored else None,
        "metric_for_best_model": SCORE if scored and recipe.keep == "best" else None,
        "greater_is_better": True if scored and recipe.keep == "best" else None,
        "report_to": "none",
        "disable_tqdm": quiet,
    }
    # The library's advice to drop the last batch or to use DDP, which is what happens here.
    logging.getLogger("sentence_transformers.base.training_args").setLevel(logging.ERROR)
    try:
        arguments = SentenceTransformerTrainingArguments(output_dir=str(folder), **{**own, **further})
    except (TypeError, ValueError, ImportError) as error:
        raise SettingError(f"arguments: {' '.join(str(error).split())}") from error
    if arguments.n_gpu > 1:
        raise SettingError(
            f"this process sees {arguments.n_gpu} GPUs: launch one for each (torchrun --nproc-per-node "
            f"{arguments.n_gpu} -m prompteol train ...), or show it one (CUDA_VISIBLE_DEVICES=0)"
        )
    shares = arguments.world_size
    if recipe.batch_size % shares:
        raise SettingError(
            f"batch_size={recipe.batch_size} does not divide over {shares} processes; give a multiple of {shares}"
        )
    arguments.per_device_train_batch_size = recipe.batch_size // shares
    return arguments


def training_dataset(
    examples: TrainingExamples, model: PromptEOL, recipe: Recipe, running_text: TrainingExamples | None = None
) -> Dataset:
    """Return the rows in the columns that the losses take, each text cut before it meets the template.

    Distillation's label is the row, by which the loss finds the teacher's vector, or the running text.
    """
    from datasets import Dataset

    columns: dict[str, Sequence[str] | Sequence[int]] = {
        name: truncate_texts(texts, model.tokenizer, recipe.max_text_tokens) for name, texts in examples.columns.items()
    }
    if recipe.objective == "unsupervised":
        _check_dropout(model)
        columns = {"anchor": columns["text"], "positive": columns["text"]}
    elif recipe.objective == "distillation":
        columns["label"] = range(len(examples))
        if running_text is not None:
            # The loss has these texts as they are. What stands here is not read, but no two rows may be alike.
            rows = range(len(running_text))
            columns = {
                "text": [*columns["text"], *map(str, rows)],
                "label": [*columns["label"], *map(running_label, rows)],
            }
    return Dataset.from_dict(columns)


def _check_dropout(model: PromptEOL) -> None:
    """Make sure that a text and itself are told apart by something."""
    modules = any(module.p > 0 for module in model.modules() if isinstance(module, nn.Dropout))
    settings = model.module.config.get_text_config().to_dict()
    # Of heads that embedding has no use for, some settings name a dropout too.
    heads = ("classifier", "summary")
    if not modules and not any(
        value for name, value in settings.items() if "drop" in name and not name.startswith(heads)
    ):
        raise SettingError(
            "unsupervised training needs dropout, and this model has none: train an adapter with dropout above 0 "
            "(--lora-rank, --lora-dropout)"
        )


def build_trainer(
    model: PromptEOL,
    arguments: SentenceTransformerTrainingArguments,
    dataset: Dataset,
    loss: nn.Module,
    pairs: ScoredPairs | None,
) -> SentenceTransformerTrainer:
    """Put the parts together; the development pairs go through the stock evaluator."""
    from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator
    from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator
    from transformers import PrinterCallback

    from prompteol.training.trainer import OneWriterTrainer

    evaluator = None
    if pairs is not None:
        evaluator = EmbeddingSimilarityEvaluator(
            list(pairs.first),
            list(pairs.second),
            list(pairs.scores or ()),
            batch_size=arguments.per_device_eval_batch_size,
            main_similarity="cosine",
            write_csv=False,
        )
    model.model_card_data.widget = model.model_card_data.widget or [_WIDGET]
    trainer = OneWriterTrainer(
        model=model,
        args=arguments,
        train_dataset=dataset,
        loss=loss,
        evaluator=evaluator,
        data_collator=SentenceTransformerDataCollator(partial(_tokens, model), prompts=_prompts(model)),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _prompts(model: PromptEOL) -> dict[str, str]:
    """Return the prompt of each column: of a pair of templates, its role, which is a prompt of such a model.

    A task would say the same, but it is kept with the features, and then columns of two tasks are no single forward.
    """
    if not isinstance(model.template, RetrievalTemplate):
        return {}
    return {"anchor": "query", "positive": "document", "negative": "document"}


def _tokens(model: PromptEOL, texts: Sequence[str], **options: Any) -> dict[str, torch.Tensor]:
    """Tokenize for training, also where an evaluation has just left the model in its other mode.

    What only the shared-prefix engine reads would keep the columns of a batch from being one forward, and then the
    dropout of a training that was resumed would be another one.
    """
    features = model.preprocess(texts, **options)
    return {name: features[name] for name in ("input_ids", "attention_mask")}
