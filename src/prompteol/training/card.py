"""The model card's section on training: recipe, data with licenses, curve, scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prompteol.data.training_examples import TrainingExamples
from prompteol.errors import PromptEOLError
from prompteol.model import find_source
from prompteol.saving import TRAINING_HEADING, stated_license
from prompteol.training.checking import TrainingInputs
from prompteol.training.curve import Point
from prompteol.training.recipe import Keep, Recipe

__all__ = ["base_license", "training_section", "with_former"]

_UNKNOWN = "unknown: its publisher states none that could be read here"
# Rows of the curve that a card shows.
_ROWS = 12
_FORMER = "\n### Before that\n\n"


def base_license(base: str) -> str | None:
    """Return the license that the card of a base model states, or ``None``."""
    try:
        path = find_source(base).file("README.md") if base else None
        return stated_license(path.read_text(encoding="utf-8")) if path else None
    except (PromptEOLError, OSError, ValueError):
        return None


def training_section(
    recipe: Recipe,
    given: TrainingInputs,
    curve: Sequence[Point],
    *,
    kept: Point | None,
    teacher: str | None,
    base: str,
    license: str | None,
    arguments: Mapping[str, Any],
) -> str:
    """Write the section in Markdown.

    Args:
        recipe: that was followed.
        given: what was trained on.
        curve: of the training.
        kept: the evaluation of the weights that were kept.
        teacher: its name and fingerprint.
        base: what was trained.
        license: of the base.
        arguments: of the trainer, over those of the recipe.
    """
    lines = [
        f"- Base: `{base}`; license: {license or _UNKNOWN}",
        f"- Data: {_data(given.examples)}",
        *([f"- Running text: {_data(given.running_text)}"] if given.running_text else []),
        *([f"- Teacher: {teacher}"] if teacher else []),
        f"- Recipe: {_recipe(recipe)}",
        *([f"- Trainer: {_listed(arguments)}"] if arguments else []),
        *_scores(curve, given.pairs.name if given.pairs else None, recipe.keep, kept),
        "",
    ]
    return TRAINING_HEADING + "\n".join(lines)


def with_former(section: str, former: str) -> str:
    """Return the section, and behind it what was said of the trainings that the base had had."""
    return section + _FORMER + former.removeprefix(TRAINING_HEADING) if former else section


def _data(examples: TrainingExamples) -> str:
    columns = ", ".join(examples.columns)
    return f"`{examples.name}`, {len(examples)} rows of {columns}; license: {examples.license or _UNKNOWN}"


def _recipe(recipe: Recipe) -> str:
    record = recipe.as_record()
    lora = record.pop("lora")
    shown = {name: value for name, value in record.items() if value is not None}
    return f"{_listed(shown)}; " + ("all weights" if lora is None else "LoRA " + _listed(lora, ", "))


def _listed(settings: Mapping[str, Any], between: str = "; ") -> str:
    return between.join(f"{name} {value}" for name, value in settings.items())


def _scores(curve: Sequence[Point], dev: str | None, keep: Keep, kept: Point | None) -> list[str]:
    scored = [point for point in curve if point.score is not None]
    if dev is None:
        return ["- No development pairs: the weights are those of the last step"]
    if kept is None:
        return [f"- The weights are those of the last step, which was not evaluated on `{dev}`"]
    losses = {point.step: point.loss for point in curve if point.loss is not None}
    wanted = {point.step for point in (*scored[:: max(1, -(-len(scored) // _ROWS))], kept, scored[-1])}
    which = "the best" if keep == "best" else "the last"
    return [
        f"- Spearman's correlation x 100 of the cosine on `{dev}`; step 0 is the base. The weights are those of step "
        f"{kept.step}, {which}, with {kept.score:.2f}{_verdict(scored[0], kept)}:",
        "",
        "| step | score | loss before it |",
        "|---|---|---|",
        *(
            f"| {point.step} | {point.score:.2f} | {_loss_before(point.step, losses)} |"
            for point in scored
            if point.step in wanted
        ),
    ]


def _verdict(first: Point, kept: Point) -> str:
    """Say plainly that a training has gained nothing."""
    if first.step > 0 or first.score is None or kept.score is None or kept.score > first.score:
        return ""
    return f", which is **no better than the base** ({first.score:.2f})"


def _loss_before(step: int, losses: dict[int, float]) -> str:
    known = [at for at in losses if at <= step]
    return f"{losses[max(known)]:.4f}" if known else ""
