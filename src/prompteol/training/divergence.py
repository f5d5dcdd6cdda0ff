"""Stop a training that diverges, before a checkpoint or a model of it is written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np
import torch
from torch import nn
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from prompteol.errors import NonFiniteError, TrainingError
from prompteol.sentence_transformers import PromptEOL
from prompteol.training.curve import SCORE
from prompteol.training.recipe import Recipe

__all__ = ["DivergenceStop"]

# Texts that the finished model embeds, and how like they are when it tells no two texts apart any more.
_PROBES = 8
_ALIKE = 1e-6


class DivergenceStop(TrainerCallback):
    """Raise :class:`TrainingError` once loss, score, weights or embeddings are no longer of any use.

    Args:
        recipe: whose learning rate is named.
        texts: that the finished model must tell apart.
    """

    def __init__(self, recipe: Recipe, texts: Sequence[str]) -> None:
        self.recipe = recipe
        self.probes = list(dict.fromkeys(texts[: 10 * _PROBES]))[:_PROBES]

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Check what is logged: a loss, the mean loss of the training, or a score."""
        entry = state.log_history[-1]
        for name, shown in (("loss", "loss"), ("train_loss", "mean loss"), (SCORE, "score on the development pairs")):
            value = entry.get(name)
            if value is None or math.isfinite(value):
                continue
            if name == SCORE and state.global_step == 0:
                raise TrainingError(
                    f"the score of the base is {value}: all development pairs have the same cosine; use another base"
                )
            self._stop(f"the {shown} is {value}", state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        """Check the trained weights where they are about to be evaluated or saved."""
        if control.should_save or control.should_evaluate or control.should_training_stop:
            model: nn.Module = given["model"]
            for name, weight in model.named_parameters():
                if weight.requires_grad and not torch.isfinite(weight).all():
                    self._stop(f"{name!r} holds NaN or infinity", state.global_step)

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        """Check them there too: with the strategy ``"epoch"`` that is where they are evaluated and saved."""
        self.on_step_end(args, state, control, **given)

    @contextmanager
    def watching(self, trainer: Trainer) -> Iterator[None]:
        """Say of embeddings that are not finite, as of an evaluation, that it is the training that diverges."""
        try:
            yield
        except NonFiniteError as error:
            step = trainer.state.global_step
            if step == 0:
                raise
            self._stop("the embeddings hold NaN or infinity", step, error)

    def check(self, model: PromptEOL, step: int) -> None:
        """Check that a finished model gives texts vectors, and different texts different ones."""
        try:
            vectors = np.asarray(model.encode(self.probes, show_progress_bar=False), dtype=np.float32)
        except NonFiniteError as error:
            self._stop("the embeddings hold NaN or infinity", step, error)
        if len(vectors) > 1 and np.ptp(vectors, axis=0).max() <= _ALIKE * np.abs(vectors).max():
            self._stop("all texts have one embedding", step)

    def _stop(self, what: str, step: int, cause: Exception | None = None) -> NoReturn:
        rate = self.recipe.learning_rate
        raise TrainingError(
            f"{what} at step {step}; lower the learning rate (now {rate:g}; --learning-rate {rate / 10:g}), warm up "
            "for longer (--warmup-steps) or train in fp32, in another folder. Checkpoints of earlier steps stay"
        ) from cause
