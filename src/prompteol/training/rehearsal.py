"""Try a caller's trainer arguments before a model is loaded, and name the one that the trainer cannot take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypedDict, get_type_hints

from huggingface_hub.dataclasses import validate_typed_dict
from huggingface_hub.errors import StrictDataclassError
from sentence_transformers import SentenceTransformerTrainingArguments
from torch import nn
from transformers import Trainer

from prompteol.errors import PromptEOLError, SettingError

Settings = Callable[..., SentenceTransformerTrainingArguments]
"""Builds the trainer's arguments from ``further``, those of a caller."""


def check_types(arguments: Mapping[str, Any]) -> None:
    """Refuse values of other types than the trainer declares."""
    declared = get_type_hints(SentenceTransformerTrainingArguments)
    for name, value in arguments.items():
        if declared[name] is float and isinstance(value, int):
            continue
        try:
            validate_typed_dict(TypedDict("Argument", {name: declared[name]}), {name: value})  # type: ignore[operator]
        except StrictDataclassError as error:
            expected = getattr(declared[name], "__name__", str(declared[name])).replace("typing.", "")
            raise SettingError(f"arguments: {name}={value!r}: expected {expected}") from error


def rehearse(build: Settings, arguments: Mapping[str, Any]) -> None:
    """Set up a trainer, its optimizer and its schedule for a model of one weight; name the argument where that fails.

    Packages that are missing, names that nobody knows, values out of range and a Hub out of reach are found here.
    """
    failure = _failure(build, arguments)
    if failure is None:
        return
    without = ({key: value for key, value in arguments.items() if key != name} for name in arguments)
    guilty = [name for name, rest in zip(arguments, without, strict=True) if _failure(build, rest) is None]
    if not guilty and isinstance(failure, PromptEOLError):
        raise failure
    named = ", ".join(f"{name}={arguments[name]!r}" for name in guilty or arguments)
    reason = " ".join(str(failure).split()).removeprefix("arguments: ")
    raise SettingError(f"arguments: {named}: {reason}") from failure


def _failure(build: Settings, arguments: Mapping[str, Any]) -> Exception | None:
    """Return what the trainer raises; ``None`` where it takes the arguments."""
    try:
        settings = build(further=arguments)
        settings.hub_model_id = settings.hub_model_id or Path(str(settings.output_dir)).name
        with TemporaryDirectory() as folder:
            settings.output_dir = folder
            model = nn.Linear(1, 1)
            trainer = Trainer(model=model, args=settings, train_dataset=[], eval_dataset=[])
            # An optimizer of named modules would find none in this model.
            if not settings.optim_target_modules:
                trainer.create_optimizer_and_scheduler(num_training_steps=1)
    # Whatever it is: the arguments are the only thing that is tried.
    except Exception as error:
        return error
    return None
