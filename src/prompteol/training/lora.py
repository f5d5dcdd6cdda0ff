"""Configure a LoRA adapter, put a fresh one on a model, and read the weights of a saved one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer
from torch import nn
from transformers import PreTrainedModel

from prompteol.compat import PEFT_PREFIX
from prompteol.errors import ModelError, SettingError


@dataclass(frozen=True)
class Lora:
    """Train a low-rank adapter on all linear layers but the LM head, and leave the base as it is.

    Args:
        rank: the rank of the two factors; 64 in the authors' code.
        alpha: the adapter is scaled by ``alpha / rank``; 16 in the authors' code.
        dropout: the dropout in front of the adapter; 0.05 in the authors' code.
        quantize: hold the base in 4 bits (NF4, double quantization) while training. ``None`` does so if there is a CUDA
            device and bitsandbytes is installed.

    Raises:
        SettingError: a value is outside its range.
    """

    rank: int = 64
    alpha: int = 16
    dropout: float = 0.05
    quantize: bool | None = None

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha < 1:
            raise SettingError(f"LoRA rank={self.rank}, alpha={self.alpha}: expected both 1 or more")
        if not 0 <= self.dropout < 1:
            raise SettingError(f"LoRA dropout={self.dropout}: expected from 0 up to, not including, 1")


def attach_adapter(model: SentenceTransformer, lora: Lora) -> None:
    """Put a fresh adapter in fp32 on all linear layers of the backbone, and freeze everything else."""
    from peft import LoraConfig

    for parameter in model.parameters():
        parameter.requires_grad_(False)
    options: dict[str, Any] = {"bias": "none", "target_modules": "all-linear", "task_type": "FEATURE_EXTRACTION"}
    model.add_adapter(LoraConfig(r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, **options))
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


@contextmanager
def keeping_frozen_weights(model: nn.Module) -> Iterator[None]:
    """Let the model read only what is trained from the checkpoints that are loaded into it in the block."""
    hook = model.register_load_state_dict_pre_hook(_keep_frozen_weights)
    try:
        yield
    finally:
        hook.remove()


def read_adapter(backbone: PreTrainedModel, folder: str | Path) -> None:
    """Give the adapter on a backbone the weights of a saved one, or raise ModelError where it has no place for them."""
    from peft import load_peft_weights, set_peft_model_state_dict

    weights = load_peft_weights(str(folder), device="cpu")
    inner = {name.removeprefix(PEFT_PREFIX): value for name, value in weights.items()}
    read: Any = set_peft_model_state_dict(backbone, inner)
    if read.unexpected_keys:
        raise ModelError(f"checkpoint {str(folder)!r} does not fit the model: it holds {read.unexpected_keys[0]!r}")


def _keep_frozen_weights(module: nn.Module, state: dict[str, Any], *_: object) -> None:
    """Read back only what is trained; the base is frozen, and where it is quantized no checkpoint fits it."""
    trained = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    # bitsandbytes adds to a state what it does not read back.
    known = {name for name, _ in [*module.named_parameters(remove_duplicate=False), *module.named_buffers()]}
    own = {name: value for name, value in module.state_dict().items() if name in known}
    read = {name: value for name, value in state.items() if name in trained}
    state.clear()
    state.update(own | read)
