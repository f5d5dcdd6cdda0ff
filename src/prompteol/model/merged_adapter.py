"""Take a PEFT adapter off a backbone's copy, merged into the weights or dropped; no weight of the backbone changes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from prompteol.errors import ModelError

__all__ = ["has_adapter", "merged_backbone", "named_adapter_modules", "stripped_backbone"]


def has_adapter(backbone: nn.Module) -> bool:
    """Tell whether a PEFT adapter sits on a backbone."""
    # Without peft in memory there can be none, and importing it takes a second.
    return "peft" in sys.modules and any(True for _ in named_adapter_modules(backbone))


def named_adapter_modules(backbone: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield the outermost modules that peft put in place of the backbone's own, with their names."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import AuxiliaryTrainingWrapper

    last = "\n"
    for name, part in backbone.named_modules():
        if isinstance(part, (BaseTunerLayer, AuxiliaryTrainingWrapper)) and not name.startswith(last):
            last = f"{name}."
            yield name, part


def stripped_backbone(backbone: PreTrainedModel) -> PreTrainedModel:
    """Return a copy without the adapter, which shares the memory of every weight."""
    copy = _sharing_copy(backbone)
    for name, part in list(named_adapter_modules(copy)):
        copy.set_submodule(name, _unwrapped(part))
    _forget_adapters(copy)
    return copy


def merged_backbone(backbone: PreTrainedModel) -> PreTrainedModel:
    """Return a copy with the active adapter merged into its weights; all other weights share the backbone's memory.

    Raises:
        ModelError: peft cannot merge an adapter of this kind.
    """
    copy = _sharing_copy(backbone)
    with torch.no_grad():
        for name, part in list(named_adapter_modules(copy)):
            # Some kinds merge in place.
            for parameter in part.parameters():
                parameter.data = parameter.data.clone()
            try:
                merged = _merged(part)
            except (AttributeError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
                if isinstance(error, torch.OutOfMemoryError):
                    raise
                raise ModelError(
                    f"this adapter cannot be merged into its base: {name}: {' '.join(str(error).split())}"
                ) from error
            copy.set_submodule(name, merged)
    _forget_adapters(copy)
    return copy


def _merged(part: Any) -> nn.Module:
    from peft.utils import AuxiliaryTrainingWrapper

    if isinstance(part, AuxiliaryTrainingWrapper):
        if part.disable_adapters:
            return _unwrapped(part)
        whole: nn.Module = part.unload_and_optionally_merge_module(merge=True, safe_merge=True, adapter_names=None)
        return whole
    layers = [part]
    while hasattr(layers[-1].base_layer, "base_layer"):
        layers.append(layers[-1].base_layer)
    for layer in reversed(layers):
        if not layer.disable_adapters:
            layer.merge(safe_merge=True)
        elif layer.merged:
            layer.unmerge()
    base: nn.Module = part.get_base_layer()
    return base


def _unwrapped(part: Any) -> nn.Module:
    """Return the backbone's own module, as it is now."""
    inner = getattr(part, "token_adapter", part)
    own = inner.get_base_layer() if hasattr(inner, "get_base_layer") else inner.original_module
    assert isinstance(own, nn.Module)
    return own


def _sharing_copy(backbone: PreTrainedModel) -> PreTrainedModel:
    """Copy modules and parameters but not their memory, so that neither side sees what the other is assigned."""
    memo: dict[int, Any] = {id(buffer): buffer for buffer in backbone.buffers()}
    for module in backbone.modules():
        for parameter in module.parameters(recurse=False):
            plain = type(parameter) is nn.Parameter
            memo[id(parameter)] = nn.Parameter(parameter.detach(), requires_grad=False) if plain else parameter
            if not plain:
                # Quantized layers hold weights beside their parameters.
                memo[id(module)] = module
    return deepcopy(backbone, memo)


def _forget_adapters(copy: PreTrainedModel) -> None:
    for name in list(getattr(copy, "peft_config", {})):
        with suppress(KeyError, ValueError):
            copy.delete_adapter(name)
    if hasattr(copy, "peft_config"):
        del copy.peft_config
