"""Early stop, which goes on counting where a checkpoint was: a kill buys no further patience."""

from __future__ import annotations

from transformers import EarlyStoppingCallback, TrainerState

from prompteol.training.curve import SCORE

__all__ = ["early_stop", "is_used_up"]


def early_stop(patience: int, remembered: TrainerState | None) -> EarlyStoppingCallback:
    """Return the stock callback, its count that of a training that was never stopped.

    The trainer itself would make every callback anew from its checkpoint, the caller's own ones included, so the
    evaluations that the checkpoint remembers are counted here.

    Args:
        patience: evaluations without a better score.
        remembered: the state in the checkpoint that training goes on from.
    """
    callback = EarlyStoppingCallback(patience)
    history = remembered.log_history if remembered else []
    # Not the base's, at step 0, which the trainer compares with nothing.
    scores = [entry[SCORE] for entry in history if SCORE in entry and entry["step"] > 0]
    if scores:
        callback.early_stopping_patience_counter = len(scores) - 1 - scores.index(max(scores))
    return callback


def is_used_up(callback: EarlyStoppingCallback) -> bool:
    """Tell whether the training has stopped already."""
    return bool(callback.early_stopping_patience_counter >= callback.early_stopping_patience)
