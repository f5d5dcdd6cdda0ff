"""Set up the stock trainer of sentence-transformers for a recipe, and check the arguments that a caller adds."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator
from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator
from torch import nn
from transformers import PrinterCallback

from prompteol.data import ScoredPairs
from prompteol.errors import SettingError
from prompteol.sentence_transformers import PromptEOL
from prompteol.training.callbacks import SCORE
from prompteol.training.prompting import TASK_OF_COLUMN, TrainingPrompts
from prompteol.training.recipe import Recipe
from prompteol.training.unwrapping import without_autocast

if TYPE_CHECKING:
    from datasets import Dataset


# Arguments of the trainer that something else here decides, so that one setting has one name in the saved recipe.
_DECIDED_ELSEWHERE = {
    "output_dir": "output, the folder of the result",
    "per_device_train_batch_size": "Recipe(batch_size=...), the rows of a batch over all processes",
    "auto_find_batch_size": "Recipe(mini_batch_size=...), for a batch that does not fit",
    "num_train_epochs": "Recipe(epochs=...)",
    "learning_rate": "Recipe(learning_rate=...)",
    **dict.fromkeys(("warmup_steps", "warmup_ratio"), "Recipe(warmup_steps=...), below 1 a share of all steps"),
    "seed": "Recipe(seed=...)",
    "logging_steps": "Recipe(log_steps=...)",
    **dict.fromkeys(("eval_steps", "save_steps"), "Recipe(eval_steps=...), the steps between two checkpoints"),
    "eval_on_start": "dev: the base is evaluated wherever there are development pairs",
    **dict.fromkeys(("metric_for_best_model", "greater_is_better", "load_best_model_at_end"), "Recipe(keep=...)"),
    "use_cpu": 'device="cpu"',
    "resume_from_checkpoint": "resume=True",
    "prompts": "the template of the model: template=...",
    "router_mapping": "nothing: a PromptEOL model has no Router",
    "use_cache": "nothing: an embedding takes one forward, in which no token is generated",
    "neftune_noise_alpha": "Lora(dropout=...): the trainer finds no token embeddings to add noise to",
}
# A day: the other processes wait while the first one lets the teacher embed.
_PROCESS_TIMEOUT_S = 86_400
# What a card shows to try the model on: else the trainer picks texts to train on, and draws a bar meanwhile.
_WIDGET: dict[str, Any] = {
    "source_sentence": "The weather is lovely today.",
    "sentences": ["It's so sunny outside!", "He drove to the stadium."],
}


def check_arguments(arguments: Mapping[str, Any], recipe: Recipe, *, scored: bool) -> None:
    """Refuse trainer arguments that would be ignored, or would separate the kept score from the kept weights."""
    known = [field.name for field in fields(SentenceTransformerTrainingArguments)]
    for name in arguments:
        if name not in known:
            close = get_close_matches(name, known, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise SettingError(f"arguments: SentenceTransformerTrainingArguments has no {name!r}{hint}")
        if name in _DECIDED_ELSEWHERE:
            raise SettingError(f"arguments: {name!r} is decided elsewhere; use {_DECIDED_ELSEWHERE[name]}")
    strategies = (arguments.get(name) for name in ("eval_strategy", "save_strategy"))
    evaluation, save = (getattr(strategy, "value", strategy) for strategy in strategies)
    if not scored and evaluation not in (None, "no"):
        raise SettingError(f"arguments: eval_strategy={evaluation!r} needs development pairs: give dev (--dev)")
    if scored and evaluation == "no":
        raise SettingError("arguments: eval_strategy='no' with development pairs: leave one of the two out")
    if scored and recipe.keep == "best" and (save or "steps") not in (evaluation or "steps", "best"):
        both = f"save_strategy={save or 'steps'!r} with eval_strategy={evaluation or 'steps'!r}"
        fix = 'the best evaluation would have no checkpoint; give both the same, or Recipe(keep="last")'
        raise SettingError(f"arguments: {both}: {fix}")


def launched_processes() -> int:
    """Return how many processes torchrun or accelerate has launched; 1 without them."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def training_arguments(
    recipe: Recipe, folder: Path, *, device: torch.device, scored: bool, quiet: bool, further: Mapping[str, Any]
) -> SentenceTransformerTrainingArguments:
    """Translate a recipe; the global batch is split over the processes that were launched.

    ``scored`` tells that there are development pairs; the caller's ``further`` arguments win over those of here.
    """
    on_cpu = device.type == "cpu"
    half = not on_cpu and torch.cuda.is_available()
    bf16 = half and torch.cuda.is_bf16_supported(including_emulation=False)
    best = scored and recipe.keep == "best"
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
        "per_device_eval_batch_size": 256,
        "logging_steps": recipe.log_steps,
        "logging_first_step": True,
        # Else a loss that is no number is shown as the mean of those before it.
        "logging_nan_inf_filter": False,
        "save_steps": recipe.eval_steps,
        "save_total_limit": 2,
        "eval_strategy": "steps" if scored else "no",
        "eval_steps": recipe.eval_steps if scored else None,
        "metric_for_best_model": SCORE if best else None,
        "greater_is_better": best or None,
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
        launch = f"launch one for each (torchrun --nproc-per-node {arguments.n_gpu} -m prompteol train ...)"
        raise SettingError(f"this process sees {arguments.n_gpu} GPUs: {launch}, or set CUDA_VISIBLE_DEVICES=0")
    arguments.per_device_train_batch_size, rest = divmod(recipe.batch_size, arguments.world_size)
    if rest:
        shares = f"{arguments.world_size} processes; give a multiple of {arguments.world_size}"
        raise SettingError(f"batch_size={recipe.batch_size} does not divide over {shares}")
    return arguments


class PlainTrainer(SentenceTransformerTrainer):  # type: ignore[misc]
    """Train as ``SentenceTransformerTrainer`` does, but save in the first process only and evaluate what is saved.

    The stock trainer evaluates under the autocast of the training, without which the saved model will be loaded.

    transformers leaves the question who saves to a method that sentence-transformers 6.2 replaces without asking it:
    then every process writes the same files at the same time. Sharded weights still need all processes to save.
    """

    def save_model(self, *args: Any, **kwargs: Any) -> None:
        """Save as the stock trainer does, where this process is one that writes."""
        if self.args.should_save or self.is_fsdp_enabled or self.is_deepspeed_enabled:
            super().save_model(*args, **kwargs)

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluate as the stock trainer does, in the precision of the weights."""
        with without_autocast(self.model):
            return super().evaluation_loop(*args, **kwargs)


def build_trainer(
    model: PromptEOL,
    arguments: SentenceTransformerTrainingArguments,
    dataset: Dataset,
    loss: nn.Module,
    pairs: ScoredPairs | None,
    prompts: TrainingPrompts,
) -> SentenceTransformerTrainer:
    """Build the stock trainer; the development pairs go through the stock evaluator."""
    evaluator = None
    if pairs is not None:
        sides = list(pairs.first), list(pairs.second), list(pairs.scores or ())
        size = arguments.per_device_eval_batch_size
        evaluator = EmbeddingSimilarityEvaluator(*sides, batch_size=size, main_similarity="cosine", write_csv=False)
    model.model_card_data.widget = model.model_card_data.widget or [_WIDGET]
    trainer = PlainTrainer(
        model=model,
        args=arguments,
        train_dataset=dataset,
        loss=loss,
        evaluator=evaluator,
        data_collator=SentenceTransformerDataCollator(prompts, prompts=TASK_OF_COLUMN),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer
