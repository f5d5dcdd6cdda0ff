"""Follow a training: write its curve, stop it where nothing gets better or all is lost, go on from a checkpoint."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
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
from prompteol.training.lora import read_adapter
from prompteol.training.recipe import Recipe

# What the stock evaluator calls Spearman's correlation of the cosine.
SCORE = "eval_spearman_cosine"
# Texts that the finished model embeds, and how close they are when it tells no two texts apart any more.
_PROBES = 8
_EQUAL = 1e-6


@dataclass(frozen=True)
class Point:
    """Hold the mean loss since the point before, or an evaluation's Spearman correlation x 100, after a step."""

    step: int
    loss: float | None = None
    score: float | None = None
    learning_rate: float | None = None


@dataclass(frozen=True)
class TrainingProgress:
    """Say how far a training is: ``step`` of ``steps``, and the last point of the curves."""

    step: int
    steps: int
    last: Point | None


Watcher = Callable[[TrainingProgress], None]


def points(history: Sequence[dict[str, Any]]) -> list[Point]:
    """Return the points in a trainer's log history."""
    return [
        Point(
            int(record["step"]),
            record.get("loss"),
            100 * float(record[SCORE]) if SCORE in record else None,
            record.get("learning_rate"),
        )
        for record in history
        if SCORE in record or "loss" in record
    ]


def read_curve(path: str | Path) -> list[Point]:
    """Read the curves of a training, also of one that still runs; :class:`TrainingError` where there are none."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        return [Point(**json.loads(line)) for line in lines if line]
    except (OSError, ValueError, TypeError) as error:
        raise TrainingError(f"{str(path)!r} is no curve of a training: {error}") from error


class CurveWriter(TrainerCallback):
    """Write each point as a JSON line, and call a watcher when training begins, and after each step and each point.

    A training that is resumed goes on behind the points of its checkpoint.
    """

    def __init__(self, path: Path, watch: Watcher | None = None) -> None:
        self.path = path
        self.watch = watch
        self._last: Point | None = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Replace what the file holds by the points of the checkpoint."""
        self._write(state, "w", points(state.log_history))
        self.on_step_end(args, state, control)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Add the last point."""
        self._write(state, "a", points(state.log_history[-1:]))
        self.on_step_end(args, state, control)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Call the watcher."""
        if self.watch is not None and state.is_world_process_zero:
            self.watch(TrainingProgress(state.global_step, state.max_steps, self._last))

    def _write(self, state: TrainerState, mode: str, new: Sequence[Point]) -> None:
        if state.is_world_process_zero:
            self._last = new[-1] if new else self._last
            with self.path.open(mode, encoding="utf-8") as file:
                file.writelines(json.dumps(vars(point)) + "\n" for point in new)


def early_stopping(patience: int, state: TrainerState | None) -> EarlyStoppingCallback:
    """Return the stock callback, its counter that of the checkpoint whose state training goes on from.

    The trainer itself would make every callback anew from its checkpoint, the caller's own ones included.
    """
    callback = EarlyStoppingCallback(patience)
    # Not the base's score, at step 0, which the trainer compares with nothing.
    history = state.log_history if state else []
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
            value = record.get(name, 0.0)
            if name == SCORE and not math.isfinite(value) and state.global_step == 0:
                same = "all development pairs have the same cosine; use another base"
                raise TrainingError(f"the score of the base is {value}: {same}")
            if not math.isfinite(value):
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
                # SciPy warns of a score that is not a number; the error that follows says more.
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
        lower = f"lower the learning rate (now {rate:g}; --learning-rate {rate / 10:g}), warm up for longer"
        fix = f"{lower} (--warmup-steps) or train in fp32, in another folder. Checkpoints of earlier steps stay"
        raise TrainingError(f"{what} at step {step}; {fix}") from cause


class ExactAdapter(TrainerCallback):
    """Go on from an adapter as its checkpoint has it: the trainer reads it in the precision of the base."""

    def __init__(self, model: PromptEOL, checkpoint: Path) -> None:
        self.model = model
        self.checkpoint = checkpoint

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Read it once more, after the trainer has."""
        read_adapter(self.model.module.transformer.model, self.checkpoint)
