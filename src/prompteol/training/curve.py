"""The curves of a training: loss and development score by step, as JSON lines while it runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from prompteol.errors import TrainingError

__all__ = ["SCORE", "CurveWriter", "Point", "TrainingProgress", "Watcher", "points", "read_curve"]

# What the stock evaluator calls Spearman's correlation of the cosine.
SCORE = "eval_spearman_cosine"


@dataclass(frozen=True)
class Point:
    """One point of the curves.

    Args:
        step: optimizer steps so far.
        loss: the mean since the point before; ``None`` at an evaluation.
        score: Spearman's correlation x 100 on the development pairs; ``None`` between evaluations.
        learning_rate: of that step.
    """

    step: int
    loss: float | None = None
    score: float | None = None
    learning_rate: float | None = None


@dataclass(frozen=True)
class TrainingProgress:
    """How far a training is: ``step`` of ``steps``, and the last point of the curves."""

    step: int
    steps: int
    last: Point | None


Watcher = Callable[[TrainingProgress], None]


def points(history: Sequence[dict[str, Any]]) -> list[Point]:
    """Return the points in a trainer's log history."""
    found = []
    for entry in history:
        score = entry.get(SCORE)
        if score is not None or "loss" in entry:
            found.append(
                Point(
                    int(entry["step"]),
                    entry.get("loss"),
                    None if score is None else 100 * float(score),
                    entry.get("learning_rate"),
                )
            )
    return found


def read_curve(path: str | Path) -> list[Point]:
    """Read the curves of a training, also of one that still runs.

    Raises:
        TrainingError: the file is no such curve.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        return [Point(**json.loads(line)) for line in lines if line]
    except (OSError, ValueError, TypeError) as error:
        raise TrainingError(f"{str(path)!r} is no curve of a training: {error}") from error


class CurveWriter(TrainerCallback):
    """Write each point as a JSON line, and tell a watcher of every step.

    Args:
        path: the file. A training that is resumed goes on behind the points of its checkpoint.
        watch: called when training begins, and after each step and each point.
    """

    def __init__(self, path: Path, watch: Watcher | None = None) -> None:
        self.path = path
        self.watch = watch
        self._last: Point | None = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Write what the checkpoint remembers, in place of what the file holds."""
        self._write(state, "w", points(state.log_history))
        self._tell(state)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Add the last point."""
        self._write(state, "a", points(state.log_history[-1:]))
        self._tell(state)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Tell the watcher."""
        self._tell(state)

    def _write(self, state: TrainerState, mode: str, new: Sequence[Point]) -> None:
        self._last = new[-1] if new else self._last
        if state.is_world_process_zero:
            with self.path.open(mode, encoding="utf-8") as file:
                file.writelines(json.dumps(vars(point)) + "\n" for point in new)

    def _tell(self, state: TrainerState) -> None:
        if self.watch is not None and state.is_world_process_zero:
            self.watch(TrainingProgress(state.global_step, state.max_steps, self._last))
