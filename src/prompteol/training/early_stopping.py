"""Stop early, with a counter that survives resume."""

from __future__ import annotations

from transformers import EarlyStoppingCallback, TrainerState

from prompteol.training.curve import SCORE

__all__ = ["early_stopping", "has_stopped"]


def early_stopping(patience: int, state: TrainerState | None) -> EarlyStoppingCallback:
    """Return the stock callback with the counter of a training that was never interrupted.

    The trainer itself would make every callback anew from its checkpoint, the caller's own ones included, so the
    evaluations in the checkpoint's state are counted here.

    Args:
        patience: evaluations without a better score.
        state: of the checkpoint that training goes on from.
    """
    callback = EarlyStoppingCallback(patience)
    history = state.log_history if state else []
    # Not the base's, at step 0, which the trainer compares with nothing.
    scores = [record[SCORE] for record in history if SCORE in record and record["step"] > 0]
    if scores:
        callback.early_stopping_patience_counter = len(scores) - 1 - scores.index(max(scores))
    return callback


def has_stopped(callback: EarlyStoppingCallback) -> bool:
    """Say whether the training was stopped early before its checkpoint was written."""
    return bool(callback.early_stopping_patience_counter >= callback.early_stopping_patience)
