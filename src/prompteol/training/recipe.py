"""The recipe of a training: objective, adapter and hyperparameters, the paper's by default."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from prompteol.errors import SettingError

__all__ = ["Keep", "Lora", "Objective", "Recipe"]

Objective = Literal["contrastive", "unsupervised", "distillation"]
Keep = Literal["best", "last"]


@dataclass(frozen=True)
class Lora:
    """Train a low-rank adapter on all linear layers but the LM head, and leave the base as it is.

    Args:
        rank: of the two factors; 64 in the authors' code.
        alpha: the adapter is scaled by ``alpha / rank``; 16 in the authors' code.
        dropout: in front of the adapter; 0.05 in the authors' code.
        quantize: hold the base in 4 bits (NF4, double quantization) while training. ``None``: where there is a CUDA
            device and bitsandbytes is installed.
    """

    rank: int = 64
    alpha: int = 16
    dropout: float = 0.05
    quantize: bool | None = None

    def __post_init__(self) -> None:
        _check(self.rank >= 1 and self.alpha >= 1, f"LoRA rank={self.rank}, alpha={self.alpha}", "both 1 or more")
        _check(0 <= self.dropout < 1, f"LoRA dropout={self.dropout}", "from 0 up to, not including, 1")


@dataclass(frozen=True)
class Recipe:
    """Say how to train. The defaults are the paper's supervised contrastive fine-tuning.

    Args:
        objective: ``"contrastive"`` is InfoNCE on (anchor, positive) pairs or (anchor, positive, hard negative)
            triplets; ``"unsupervised"`` the same on each text with itself under another dropout mask;
            ``"distillation"`` brings the embedding to a teacher's vector.
        lora: the adapter, or ``None`` to train all weights.
        temperature: of InfoNCE. 0.05 is the authors' code; the paper's text prints 0.5.
        learning_rate: of AdamW, linear to zero after the warm-up.
        warmup_steps: a number of steps, or below 1 a share of all.
        batch_size: rows of a global batch, over all processes.
        mini_batch_size: embed so many rows at once and keep the gradients of the embeddings only: any batch in little
            memory, for about twice the time. ``None``: the whole batch at once.
        epochs: passes over the data. Rows that fill no whole batch are left out of a pass.
        max_text_tokens: a text is cut to so many tokens before it is put into the template.
        seed: of the order of rows, the adapter's first weights and dropout.
        eval_steps: steps between two checkpoints, each evaluated on the development pairs.
        patience: stop after so many checkpoints without a better one. ``None``: run to the end.
        keep: of the checkpoints: ``"best"`` by the development pairs, where there are any, or ``"last"``, for a
            training that shall learn what those pairs do not ask for.
        log_steps: steps between two points of the loss curve.
        similarity_weight: distillation only: of the squared error between the cosines of a batch's student vectors
            and those of its teacher vectors.
        language_weight: distillation only: of the next token's cross-entropy, which keeps the model a language model:
            in the running text that is given, or else in the prompts themselves. 0 leaves it out.
        word_weight: distillation only: of the cross-entropy of the word after the prompt, against those that the
            teacher finds near the text. 0 leaves it out.
        max_running_tokens: distillation only: running text is cut to so many tokens a row.

    Raises:
        SettingError: a value is outside its range.
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
    similarity_weight: float = 20.0
    language_weight: float = 0.0
    word_weight: float = 0.0
    max_running_tokens: int = 128

    def __post_init__(self) -> None:
        known = get_args(Objective)
        _check(self.objective in known, f"objective={self.objective!r}", f"one of {', '.join(map(repr, known))}")
        _check(self.keep in get_args(Keep), f"keep={self.keep!r}", "'best' or 'last'")
        _check(self.keep == "best" or not self.patience, f"patience={self.patience}", "none with keep='last'")
        for name in ("temperature", "learning_rate", "epochs"):
            value = getattr(self, name)
            _check(math.isfinite(value) and value > 0, f"{name}={value}", "a finite number above 0")
        for name in ("warmup_steps", "similarity_weight", "language_weight", "word_weight", "seed"):
            value = getattr(self, name)
            _check(math.isfinite(value) and value >= 0, f"{name}={value}", "0 or more")
        for name in ("mini_batch_size", "max_text_tokens", "max_running_tokens", "eval_steps", "patience", "log_steps"):
            value = getattr(self, name)
            _check(value is None or value >= 1, f"{name}={value}", "1 or more")
        _check(self.batch_size >= 2, f"batch_size={self.batch_size}", "2 or more: the other rows are the negatives")
        distilled = self.objective == "distillation"
        _check(distilled or not self.language_weight, "language_weight", 'for objective="distillation" only')
        _check(not distilled or not self.mini_batch_size, "mini_batch_size", "for the contrastive objectives only")

    def as_record(self) -> dict[str, Any]:
        """Return what is in force, as JSON has it; settings of other objectives are left out."""
        record = asdict(self)
        distilled = self.objective == "distillation"
        own = ("similarity_weight", "language_weight", "word_weight", "max_running_tokens")
        for name in ("temperature", "mini_batch_size") if distilled else own:
            del record[name]
        return record


def _check(holds: bool, given: str, expected: str) -> None:
    if not holds:
        raise SettingError(f"{given}: expected {expected}")
