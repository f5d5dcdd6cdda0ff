"""Take off a model what training puts on it: autocast and gradient checkpointing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch import nn

from prompteol.compat import checkpoints_activations, forget_preparation, stop_checkpointing_activations
from prompteol.sentence_transformers import PromptEOL

if TYPE_CHECKING:
    from transformers import Trainer


@contextmanager
def without_autocast(model: nn.Module) -> Iterator[None]:
    """Run a model in the block as a loaded one runs, without the autocast that accelerate puts around ``forward``."""
    wrapped = vars(model).pop("forward", None)
    try:
        yield
    finally:
        if wrapped is not None:
            vars(model)["forward"] = wrapped


@contextmanager
def unwrapping(model: PromptEOL, trainer: Trainer) -> Iterator[None]:
    """Train in the block, and leave the model as its saved folder will be loaded, also where training fails."""
    backbone = model.module.transformer.model
    forward = vars(model).get("forward")
    checkpointing = checkpoints_activations(backbone)
    try:
        yield
    finally:
        trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
        # Unwrapped, it is a bound method, which a copy of the model would not bind anew.
        vars(model).pop("forward", None)
        if forward is not None:
            vars(model)["forward"] = forward
        forget_preparation(model)
        if checkpoints_activations(backbone) and not checkpointing:
            stop_checkpointing_activations(backbone)
        model.eval()
