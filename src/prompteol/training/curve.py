"""Write loss and development score by step as JSON lines while a training runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from prompteol.errors import TrainingError

# What the stock evaluator calls Spearman's correlation of the cosine.
SCORE = "eval_spearman_cosine"


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

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Add the last point."""
        self._write(state, "a", points(state.log_history[-1:]))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Call the watcher."""
        self._notify(state)

    def _write(self, state: TrainerState, mode: str, new: Sequence[Point]) -> None:
        self._last = new[-1] if new else self._last
        if state.is_world_process_zero:
            with self.path.open(mode, encoding="utf-8") as file:
                file.writelines(json.dumps(vars(point)) + "\n" for point in new)
        self._notify(state)

    def _notify(self, state: TrainerState) -> None:
        if self.watch is not None and state.is_world_process_zero:
            self.watch(TrainingProgress(state.global_step, state.max_steps, self._last))
