"""Every touch of a dependency that its public interface does not promise, one function each, with a canary test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import nn
from torch.nn.modules import module as torch_module

__all__ = ["PEFT_PREFIX", "adapter_layer_types", "forward_hooks", "renames_weights"]

#: What peft writes in front of the names of an adapter's weights.
PEFT_PREFIX = "base_model.model."


def adapter_layer_types() -> tuple[type, ...]:
    """Return the classes of the modules that peft puts in the place of a model's own."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import AuxiliaryTrainingWrapper

    return BaseTunerLayer, AuxiliaryTrainingWrapper


def renames_weights(model_type: str) -> bool:
    """Tell whether transformers renames the weights of an architecture when it reads them."""
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping

    return get_checkpoint_conversion_mapping(model_type) is not None


def forward_hooks(module: nn.Module | None) -> Iterator[Callable[..., Any]]:
    """Yield the hooks around a module's forward; of ``None`` those around every module's, in torch's tables."""
    where, prefix = (torch_module, "_global_") if module is None else (module, "_")
    for kind in ("forward_pre_hooks", "forward_hooks"):
        yield from getattr(where, prefix + kind).values()
