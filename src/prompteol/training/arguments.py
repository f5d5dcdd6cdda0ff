"""Check the trainer's arguments that a caller gives beside the recipe: each wins, or is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any

from prompteol.errors import SettingError
from prompteol.training.recipe import Recipe

__all__ = ["check_arguments"]

_CHECKPOINTS = "Recipe(eval_steps=...), the steps between two checkpoints, each of which is evaluated"
_KEPT = 'Recipe(keep="best") or keep="last"'
# Arguments of the trainer that something else here decides, so that one setting has one name in the saved recipe.
_DECIDED_ELSEWHERE = {
    "output_dir": "out, the folder of the result",
    "per_device_train_batch_size": "Recipe(batch_size=...), the rows of a batch over all processes",
    "auto_find_batch_size": "Recipe(mini_batch_size=...), for a batch that does not fit",
    "num_train_epochs": "Recipe(epochs=...)",
    "learning_rate": "Recipe(learning_rate=...)",
    "warmup_steps": "Recipe(warmup_steps=...)",
    "warmup_ratio": "Recipe(warmup_steps=...), below 1 a share of all steps",
    "seed": "Recipe(seed=...)",
    "logging_steps": "Recipe(log_steps=...)",
    "eval_steps": _CHECKPOINTS,
    "save_steps": _CHECKPOINTS,
    "eval_on_start": "dev: the base is evaluated wherever there are development pairs",
    "metric_for_best_model": _KEPT,
    "greater_is_better": _KEPT,
    "load_best_model_at_end": _KEPT,
    "use_cpu": 'device="cpu"',
    "resume_from_checkpoint": "resume=True",
    "prompts": 'the template of the model: options={"template": ...}',
    "router_mapping": "nothing: a PromptEOL model has no Router",
}


def check_arguments(arguments: Mapping[str, Any], recipe: Recipe, *, scored: bool) -> None:
    """Refuse arguments that would be ignored, or would part the kept score from the kept weights.

    Args:
        arguments: of ``SentenceTransformerTrainingArguments``.
        recipe: that they go with.
        scored: whether there are development pairs.

    Raises:
        SettingError: there is no such argument, something else decides it, or checkpoints and evaluations would fall
            on different steps.
    """
    from sentence_transformers import SentenceTransformerTrainingArguments

    known = [field.name for field in fields(SentenceTransformerTrainingArguments)]
    for name in arguments:
        if name not in known:
            close = get_close_matches(name, known, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise SettingError(f"arguments: SentenceTransformerTrainingArguments has no {name!r}{hint}")
        if name in _DECIDED_ELSEWHERE:
            raise SettingError(
                f"arguments: {name!r} is not the trainer's to decide here; use {_DECIDED_ELSEWHERE[name]}"
            )
    evaluate, save = (_strategy(arguments, name) for name in ("eval_strategy", "save_strategy"))
    if not scored and evaluate not in (None, "no"):
        raise SettingError(f"arguments: eval_strategy={evaluate!r} needs development pairs: give dev (--dev)")
    if scored and evaluate == "no":
        raise SettingError("arguments: eval_strategy='no' with development pairs: leave one of the two out")
    if scored and recipe.keep == "best" and (save or "steps") not in (evaluate or "steps", "best"):
        raise SettingError(
            f"arguments: save_strategy={save or 'steps'!r} with eval_strategy={evaluate or 'steps'!r}: the best "
            'evaluation would have no checkpoint; give both the same, or Recipe(keep="last")'
        )


def _strategy(arguments: Mapping[str, Any], name: str) -> str | None:
    given = arguments.get(name)
    return None if given is None else str(getattr(given, "value", given))
