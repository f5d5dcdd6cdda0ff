"""Hold objective, adapter and hyperparameters of a training; the defaults are the paper's."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from prompteol.data import Objective
from prompteol.errors import SettingError
from prompteol.prompts import TemplateLike, resolve_template
from prompteol.training.combining import Combination
from prompteol.training.lora import Lora

Keep = Literal["best", "last"]


@dataclass(frozen=True)
class Recipe:
    """Describe how to train; the defaults are the paper's supervised contrastive fine-tuning.

    Args:
        objective: ``"contrastive"`` is InfoNCE on (anchor, positive) pairs or (anchor, positive, hard negative)
            triplets; ``"unsupervised"`` the same on each text with itself under another dropout mask;
            ``"distillation"`` brings the embedding to a teacher's vector.
        lora: the adapter, or ``None`` to train all weights.
        temperature: the temperature of InfoNCE; 0.05 as in the authors' code, while the paper's text prints 0.5.
        learning_rate: the learning rate of AdamW; it falls linearly to zero after the warm-up.
        warmup_steps: a number of steps; a value below 1 is a share of all steps.
        batch_size: the number of rows in a batch, over all processes together.
        mini_batch_size: embed this many rows at once and keep only the gradients of the embeddings: any batch in little
            memory, for about twice the time. ``None`` embeds the whole batch at once.
        epochs: passes over the data. Rows that fill no whole batch are left out of a pass.
        max_text_tokens: cut each text to this many tokens before it is put into the template.
        seed: the seed for the order of rows, the adapter's initial weights and dropout.
        eval_steps: steps between two checkpoints, each evaluated on the development pairs.
        patience: stop early after this many checkpoints without a better one; ``None`` runs to the end.
        keep: the checkpoint to keep: ``"best"`` by the development pairs, if there are any, or ``"last"``, for a
            training whose goal those pairs do not measure.
        log_steps: steps between two points of the loss curve.
        packing: compute the prompts' shared beginning once per forward, and pad no row. Gradients are as without it,
            except for dropout, which the shared part draws once for all rows. ``None`` packs if the objective needs no
            dropout and the loss is the recipe's own.
        extra_templates: other prompts for a share of each batch, so that the model answers to more than its own: names
            of presets, strings with ``{text}``, or templates with demonstrations and a normalization of their own.
        extra_share: the share of a batch's texts that get an extra template.
        combine: distillation only: how the vectors of several teachers become one; see
            :func:`prompteol.training.combine_teachers`.
        similarity_weight: distillation only: the weight of the squared error between the cosines of the student's
            vectors in a batch and those of the teacher's vectors.
    """

    objective: Objective = "contrastive"
    lora: Lora | None = field(default_factory=Lora)
    temperature: float = 0.05
    learning_rate: float = 5e-4
    warmup_steps: int | float = 100
    batch_size: int = 256
    mini_batch_size: int | None = None
    epochs: float = 1.0
    max_text_tokens: int = 32
    seed: int = 42
    eval_steps: int = 50
    patience: int | None = None
    keep: Keep = "best"
    log_steps: int = 10
    packing: bool | None = None
    extra_templates: Sequence[TemplateLike] = ()
    extra_share: float = 0.25
    combine: Combination = "concatenate"
    similarity_weight: float = 20.0

    def __post_init__(self) -> None:
        known = get_args(Objective)
        self._check("objective", self.objective in known, f"one of {', '.join(map(repr, known))}")
        self._check("keep", self.keep in get_args(Keep), "'best' or 'last'")
        self._check("patience", self.keep == "best" or not self.patience, "none with keep='last'")
        for name in ("temperature", "learning_rate", "epochs"):
            self._check(name, 0 < getattr(self, name) < math.inf, "a finite number above 0")
        for name in ("warmup_steps", "similarity_weight", "seed"):
            self._check(name, 0 <= getattr(self, name) < math.inf, "0 or more")
        for name in ("mini_batch_size", "max_text_tokens", "eval_steps", "patience", "log_steps"):
            value = getattr(self, name)
            self._check(name, value is None or value >= 1, "1 or more")
        self._check("extra_share", 0 < self.extra_share < 1, "above 0 and below 1")
        self._check("combine", self.combine in get_args(Combination), "'concatenate' or 'average'")
        for template in self.extra_templates:
            resolve_template(template)
        self._check("batch_size", self.batch_size >= 2, "2 or more: the other rows are the negatives")
        distilled = self.objective == "distillation"
        self._check("mini_batch_size", not (distilled and self.mini_batch_size), "none with distillation")

    def _check(self, name: str, valid: bool, expected: str) -> None:
        if not valid:
            raise SettingError(f"{name}={getattr(self, name)!r}: expected {expected}")

    def as_record(self) -> dict[str, Any]:
        """Return the settings as JSON types, without those of other objectives."""
        record: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        distilled = self.objective == "distillation"
        for name in ("temperature", "mini_batch_size") if distilled else ("similarity_weight", "combine"):
            del record[name]
        if not self.extra_templates:
            del record["extra_templates"], record["extra_share"]
        return record
