"""Find the adapter on a backbone, and describe it as it is once it was saved and read."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from torch import Tensor, nn

from prompteol.compat import adapter_layer_types


def has_adapter(backbone: Any) -> bool:
    """Tell whether a PEFT adapter sits on a backbone."""
    # Without peft in memory there can be none, and importing it takes a second.
    return (
        "peft" in sys.modules and isinstance(backbone, nn.Module) and any(True for _ in named_adapter_modules(backbone))
    )


def named_adapter_modules(backbone: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield the outermost modules that peft put in place of the backbone's own, with their names."""
    types = adapter_layer_types()
    last = "\n"
    for name, part in backbone.named_modules():
        if isinstance(part, types) and not name.startswith(last):
            last = f"{name}."
            yield name, part


def own_module(part: Any) -> Any:
    """Return the backbone's own module, as it is now, where peft put one in its place; else what is given."""
    if "peft" not in sys.modules or not isinstance(part, adapter_layer_types()):
        return part
    inner: Any = getattr(part, "token_adapter", part)
    return inner.get_base_layer() if hasattr(inner, "get_base_layer") else inner.original_module


def tensors_as_saved(backbone: Any, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name a backbone's tensors as they are read back: the one active adapter as default, and no other one."""
    active, others = _adapters(backbone)
    if active is None:
        return dict(tensors)
    parts = {name: name.split(".") for name in tensors}
    return {
        ".".join("default" if part == active else part for part in parts[name]): tensor
        for name, tensor in tensors.items()
        if others.isdisjoint(parts[name])
    }


def adapter_settings(backbone: Any) -> list[Any]:
    """Return what decides how the active adapter changes vectors beside its tensors, such as the scaling of LoRA."""
    active, _ = _adapters(backbone)
    return [
        (name, *(bool(getattr(part, state, False)) for state in ("disable_adapters", "merged")), _numbers(part, active))
        for name, part in (named_adapter_modules(backbone) if active is not None else ())
    ]


def _numbers(layer: nn.Module, adapter: str | None) -> dict[str, Any]:
    """Return the plain numbers that a layer keeps by adapter."""
    kept = {name: value.get(adapter) for name, value in vars(layer).items() if isinstance(value, dict)}
    return {name: value for name, value in kept.items() if type(value) in (bool, int, float)}


def _adapters(backbone: Any) -> tuple[str | None, frozenset[str]]:
    """Return the one active adapter, or None where it is not one, and the others."""
    configs = getattr(backbone, "peft_config", {})
    active: list[str] = []
    # Where peft put it there without transformers' knowledge, there is nobody to ask.
    with suppress(TypeError, ValueError):
        active = backbone.active_adapters() if configs else []
    return (active[0], frozenset(configs or ()) - {*active}) if len(active) == 1 else (None, frozenset())
