"""Stop a training: early where nothing gets better, at once where it diverges."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import ConstantInputWarning
from transformers import (
    EarlyStoppingCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from prompteol.errors import NonFiniteError, TrainingError
from prompteol.sentence_transformers import PromptEOL
from prompteol.training.curve import SCORE
from prompteol.training.recipe import Recipe

# Texts that the finished model embeds, and how close they are when it tells no two texts apart any more.
_PROBES = 8
_EQUAL = 1e-6


def early_stopping(patience: int, state: TrainerState | None) -> EarlyStoppingCallback:
    """Return the stock callback, its counter that of the checkpoint whose state training goes on from.

    The trainer itself would make every callback anew from its checkpoint, the caller's own ones included.
    """
    callback = EarlyStoppingCallback(patience)
    history = state.log_history if state else []
    # Not the base's, at step 0, which the trainer compares with nothing.
    scores = [record[SCORE] for record in history if SCORE in record and record["step"] > 0]
    if scores:
        callback.early_stopping_patience_counter = len(scores) - 1 - scores.index(max(scores))
    return callback


class DivergenceStop(TrainerCallback):
    """Raise :class:`TrainingError` once loss, score, weights or embeddings are no longer of any use.

    That is before a checkpoint or a model of them is written. The finished model must tell ``texts`` apart.
    """

    def __init__(self, recipe: Recipe, texts: Sequence[str]) -> None:
        self.recipe = recipe
        self.probes = list(dict.fromkeys(texts[: 10 * _PROBES]))[:_PROBES]

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Check what is logged: a loss, the mean loss of the training, or a score."""
        record = state.log_history[-1]
        for name, shown in (("loss", "loss"), ("train_loss", "mean loss"), (SCORE, "score on the development pairs")):
            value = record.get(name)
            if value is None or math.isfinite(value):
                continue
            if name == SCORE and state.global_step == 0:
                raise TrainingError(
                    f"the score of the base is {value}: all development pairs have the same cosine; use another base"
                )
            self._stop(f"the {shown} is {value}", state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Check the trained weights, and the embeddings, where they are about to be evaluated or saved."""
        if control.should_save or control.should_evaluate or control.should_training_stop:
            model: PromptEOL = kwargs["model"]
            for name, weight in model.named_parameters():
                if weight.requires_grad and not torch.isfinite(weight).all():
                    self._stop(f"{name!r} holds NaN or infinity", state.global_step)
            self._embed(model, state.global_step)

    # With the strategy "epoch" that is where weights are evaluated and saved.
    on_epoch_end = on_step_end

    @contextmanager
    def watching(self, trainer: Trainer) -> Iterator[None]:
        """Turn the error of embeddings that are not finite, as in an evaluation, into that of a divergence."""
        try:
            with warnings.catch_warnings():
                # Of a score that is no number; the error that follows says more.
                warnings.simplefilter("ignore", ConstantInputWarning)
                yield
        except NonFiniteError as error:
            step = trainer.state.global_step
            if step == 0:
                raise
            self._stop("the embeddings hold NaN or infinity", step, error)

    def check(self, model: PromptEOL, step: int) -> None:
        """Check that a finished model gives texts vectors, and different texts different ones."""
        vectors = self._embed(model, step)
        if len(vectors) > 1 and np.ptp(vectors, axis=0).max() <= _EQUAL * np.abs(vectors).max():
            self._stop("all texts have one embedding", step)

    def _embed(self, model: PromptEOL, step: int) -> NDArray[np.float32]:
        try:
            return np.asarray(model.encode(self.probes, show_progress_bar=False), dtype=np.float32)
        except NonFiniteError as error:
            self._stop("the embeddings hold NaN or infinity", step, error)

    def _stop(self, what: str, step: int, cause: Exception | None = None) -> NoReturn:
        rate = self.recipe.learning_rate
        raise TrainingError(
            f"{what} at step {step}; lower the learning rate (now {rate:g}; --learning-rate {rate / 10:g}), warm up "
            "for longer (--warmup-steps) or train in fp32, in another folder. Checkpoints of earlier steps stay"
        ) from cause
