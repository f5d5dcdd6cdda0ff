"""The model card's section on training: recipe, data with licences, curve, scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prompteol.artefact import TRAINING_HEADING, stated_licence
from prompteol.backbone import find_source
from prompteol.errors import PromptEOLError
from prompteol.training.curve import Point
from prompteol.training.examples import Examples
from prompteol.training.recipe import Keep, Recipe

__all__ = ["base_licence", "training_section"]

_UNKNOWN = "unknown: its publisher states none that could be read here"
# Rows of the curve that a card shows.
_ROWS = 12


def base_licence(base: str) -> str | None:
    """Return the licence that the card of a base model states, or ``None``."""
    try:
        path = find_source(base).file("README.md") if base else None
        return stated_licence(path.read_text(encoding="utf-8")) if path else None
    except (PromptEOLError, OSError, ValueError):
        return None


def training_section(
    recipe: Recipe,
    examples: Examples,
    curve: Sequence[Point],
    *,
    base: str,
    licence: str | None,
    dev: str | None = None,
    teacher: str | None = None,
    running_text: Examples | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> str:
    """Write the section in Markdown.

    Args:
        recipe: that was followed.
        examples: that were trained on.
        curve: of the training.
        base: what was trained.
        licence: of the base.
        dev: the pairs that the checkpoints were evaluated on.
        teacher: of a distillation.
        running_text: that the language was learnt from.
        arguments: of the trainer, over those of the recipe.
    """
    lines = [
        f"- Base: `{base}`; licence: {licence or _UNKNOWN}",
        f"- Data: {_data(examples)}",
        *([f"- Running text: {_data(running_text)}"] if running_text else []),
        *([f"- Teacher: `{teacher}`"] if teacher else []),
        f"- Recipe: {_recipe(recipe)}",
        *([f"- Trainer: {_listed(arguments)}"] if arguments else []),
        *_scores(curve, dev, recipe.keep),
        "",
    ]
    return TRAINING_HEADING + "\n".join(lines)


def _data(examples: Examples) -> str:
    columns = ", ".join(examples.columns)
    return f"`{examples.name}`, {len(examples)} rows of {columns}; licence: {examples.licence or _UNKNOWN}"


def _recipe(recipe: Recipe) -> str:
    record = recipe.as_record()
    lora = record.pop("lora")
    shown = {name: value for name, value in record.items() if value is not None}
    return f"{_listed(shown)}; " + ("all weights" if lora is None else "LoRA " + _listed(lora, ", "))


def _listed(settings: Mapping[str, Any], between: str = "; ") -> str:
    return between.join(f"{name} {value}" for name, value in settings.items())


def _scores(curve: Sequence[Point], dev: str | None, keep: Keep) -> list[str]:
    scored = [point for point in curve if point.score is not None]
    if not scored or dev is None:
        return ["- No development pairs: the weights are those of the last step"]
    losses = {point.step: point.loss for point in curve if point.loss is not None}
    shown = scored[:: max(1, -(-len(scored) // _ROWS))]
    shown = shown if shown[-1] is scored[-1] else [*shown, scored[-1]]
    which = "The checkpoint was chosen by" if keep == "best" else "The weights are those of the last step;"
    return [
        f"- {which} Spearman's correlation x 100 of the cosine on `{dev}`; step 0 is the base:",
        "",
        "| step | score | loss before it |",
        "|---|---|---|",
        *(f"| {point.step} | {point.score:.2f} | {_loss_before(point.step, losses)} |" for point in shown),
    ]


def _loss_before(step: int, losses: dict[int, float]) -> str:
    known = [at for at in losses if at <= step]
    return f"{losses[max(known)]:.4f}" if known else ""
