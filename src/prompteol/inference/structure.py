"""What a backbone is made of, its weights' values aside: told anew for each call, so that no edit goes unseen.

That packs equal the ordinary forward is a matter of code and settings: which modules there are, what they hold, what
is hooked around them. The values of the weights are read live, and nothing computed from them outlives a call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any
from weakref import ref

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig

from prompteol.compat import forward_hooks

__all__ = ["Structure", "foreign_code", "is_training"]

_PLAIN = frozenset({bool, int, float, str, bytes, type(None), torch.dtype, torch.device})
# Their hooks and forwards are part of the architecture: the check before a pack is trusted judges them.
_TRUSTED = frozenset({"accelerate", "bitsandbytes", "peft", "torch", "transformers"})


class Structure:
    """Differ from another one as soon as the backbone may compute in another way than before.

    Args:
        backbone: looked at once, now.
    """

    def __init__(self, backbone: nn.Module) -> None:
        self._objects: list[Callable[[], Any]] = []
        self._configs: dict[int, Any] = {}
        devices = sorted({parameter.device.type for parameter in backbone.parameters()} - {"meta"})
        self._told = [
            [self._of_module(module) for module in backbone.modules()],
            [self._identity(hook) for hook in forward_hooks(None)],
            [(torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)) for device in devices],
        ]

    def __eq__(self, other: object) -> bool:
        # Where an object is gone, another may have its address.
        return isinstance(other, Structure) and self._told == other._told and self._alive() and other._alive()

    __hash__ = None  # type: ignore[assignment]

    def _alive(self) -> bool:
        return all(found() is not None for found in self._objects)

    def _identity(self, value: Any) -> int:
        try:
            self._objects.append(ref(value))
        except TypeError:
            self._objects.append(lambda: value)
        return id(value)

    def _of_module(self, module: nn.Module) -> tuple[Any, ...]:
        cached_kv: list[Any] = []
        for name, value in vars(module).items():
            if type(value) in _PLAIN:
                # Modes are no structure.
                cached_kv.append((name, value if name != "training" else None))
            elif type(value) is not dict or value:
                cached_kv.append((name, self._frozen(value)))
        # A class may be patched as well as an object.
        return self._identity(module), type(module).forward, cached_kv

    def _frozen(self, value: Any) -> Any:
        """Return something that equals its like as long as the value stays the same."""
        if type(value) in _PLAIN:
            return value
        if isinstance(value, Tensor):
            return self._identity(value), value.dtype, value.device
        if isinstance(value, dict):
            return [
                (key if type(key) in _PLAIN else self._identity(key), self._frozen(part)) for key, part in value.items()
            ]
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self._frozen(part) for part in value]
        if isinstance(value, PretrainedConfig):
            if id(value) not in self._configs:
                self._configs[id(value)] = self._identity(value), self._frozen(vars(value))
            return id(value), self._configs[id(value)]
        return self._identity(value)


def is_training(backbone: nn.Module) -> bool:
    """Return whether any part is in training mode."""
    return any(module.training for module in backbone.modules())


def foreign_code(modules: Iterable[nn.Module]) -> str:
    """Name a hook or forward that was put on one of the modules from outside, or return nothing.

    It may look at the shape of a batch, or remember what it saw, so it gets the batches that it was written for.
    """
    if any(map(_is_foreign, forward_hooks(None))):
        return "a hook on the forward of every module"
    for module in modules:
        if any(map(_is_foreign, forward_hooks(module))):
            return f"a forward hook on {type(module).__name__}"
        if _is_foreign(vars(module).get("forward")):
            return f"another forward on {type(module).__name__}"
    return ""


def _is_foreign(code: Any) -> bool:
    if code is None:
        return False
    while isinstance(code, partial):
        code = code.func
    home = getattr(code, "__module__", None) or type(code).__module__
    return home.partition(".")[0] not in _TRUSTED
