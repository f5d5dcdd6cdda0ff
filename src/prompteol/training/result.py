"""Hold the result of a training, and describe it in the model card: recipe, data with licenses, curve, scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prompteol.data import ScoredPairs, TrainingExamples
from prompteol.errors import PromptEOLError
from prompteol.model import find_source
from prompteol.saving import TRAINING_HEADING, code_span, stated
from prompteol.sentence_transformers import PromptEOL
from prompteol.training.callbacks import Point
from prompteol.training.recipe import Recipe

_UNKNOWN = "unknown: its publisher states none that could be read here"
# Rows of the curve that a card shows.
_ROWS = 12


@dataclass(frozen=True)
class Training:
    """Hold a finished training: the model, with the weights of the ``step`` that was kept, its folder and curve."""

    model: PromptEOL
    output: Path
    curve: list[Point]
    step: int

    @property
    def before(self) -> float | None:
        """The score of the base, where there were development pairs."""
        return next((point.score for point in self.curve if point.step == 0), None)

    @property
    def best(self) -> Point | None:
        """The evaluation with the highest score, where there were development pairs."""
        return max(self._scored, key=lambda point: (point.score or 0.0, -point.step), default=None)

    @property
    def kept(self) -> Point | None:
        """The evaluation of the weights that were kept, where there was one."""
        return next((point for point in self._scored if point.step == self.step), None)

    @property
    def gain(self) -> float | None:
        """By how much the kept weights score better than the base; below zero where they are worse."""
        if self.kept is None or self.kept.score is None or self.before is None:
            return None
        return self.kept.score - self.before

    @property
    def verdict(self) -> str | None:
        """What to try where nothing was gained; ``None`` where the kept weights are better than the base."""
        if self.gain is None or self.gain > 0:
            return None
        worse = f"worse than the base by {-self.gain:.2f}" if self.gain < 0 else "no better than the base"
        return f"the trained model is {worse}: train for longer, on more rows, or at another learning rate"

    @property
    def _scored(self) -> list[Point]:
        return [point for point in self.curve if point.score is not None and point.step > 0]


def base_license(base: str) -> str | None:
    """Return the license that the card of a base model states, or ``None``."""
    try:
        path = find_source(base).file("README.md") if base else None
        return stated(path.read_text(encoding="utf-8"), "license") if path else None
    except (PromptEOLError, OSError, ValueError):
        return None


def save_training(
    result: Training,
    recipe: Recipe,
    examples: TrainingExamples,
    pairs: ScoredPairs | None,
    described: Mapping[str, Any],
) -> None:
    """Save the model, its card with a section on this training, in front of those on the trainings before it.

    ``described`` has the teacher, and the loss and the arguments that the caller put over those of the recipe.
    """
    model = result.model
    base = str(model.module.config.name_or_path)
    license = base_license(base)
    model.model_card_data.license = model.model_card_data.license or license
    model.provenance = {**model.provenance, "weights": f"{recipe.objective} training on {examples.name}"}
    # The stock card would print rows of the data, which may be private; the section names the data.
    model.model_card_data.train_datasets = []
    record = recipe.as_record()
    lora = record.pop("lora")
    adapter = "all weights" if lora is None else "LoRA " + _listed(lora, ", ")
    columns = f"{len(examples)} rows of {', '.join(examples.columns)}"
    facts = {
        "Base": f"{code_span(base)}; license: {license or _UNKNOWN}",
        "Data": f"{code_span(examples.name)}, {columns}; license: {examples.license or _UNKNOWN}",
        "Teacher": described["teacher"],
        "Recipe": f"{_listed({name: value for name, value in record.items() if value is not None})}; {adapter}",
        "Loss": described["loss"],
        "Trainer": _listed(described["arguments"]),
    }
    # A value that holds lines, such as a template, would begin a section of its own.
    lines = [f"- {name}: {' '.join(str(value).split())}" for name, value in facts.items() if value]
    lines += [*_scores(result, pairs.name if pairs else None, f"the {recipe.keep}"), ""]
    section, earlier = TRAINING_HEADING + "\n".join(lines), model.training_notes.removeprefix(TRAINING_HEADING)
    model.training_notes = f"{section}\n### Before that\n\n{earlier}" if earlier else section
    model.save_pretrained(str(result.output))


def _listed(settings: Mapping[str, Any], separator: str = "; ") -> str:
    return separator.join(f"{name} {value}" for name, value in settings.items())


def _scores(result: Training, dev: str | None, which: str) -> list[str]:
    if dev is None:
        return ["- No development pairs: the weights are those of the last step"]
    kept = result.kept
    if kept is None:
        return [f"- The weights are those of the last step, which was not evaluated on {code_span(dev)}"]
    verdict = f", which is **no better than the base** ({result.before:.2f})" if result.verdict else ""
    rows: list[tuple[Point, str]] = []
    loss = ""
    for point in result.curve:
        loss = loss if point.loss is None else f"{point.loss:.4f}"
        rows += [(point, loss)] if point.score is not None else []
    every = -(-len(rows) // _ROWS)
    shown = {point.step for point, _ in (*rows[::every], rows[-1])} | {kept.step}
    return [
        f"- Spearman's correlation x 100 of the cosine on {code_span(dev)}; step 0 is the base. The weights are "
        f"those of step {kept.step}, {which}, with {kept.score:.2f}{verdict}:",
        "",
        "| step | score | loss before it |",
        "|---|---|---|",
        *(f"| {point.step} | {point.score:.2f} | {loss} |" for point, loss in rows if point.step in shown),
    ]
