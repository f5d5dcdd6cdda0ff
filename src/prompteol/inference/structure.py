"""Describe the structure of a backbone, code and settings, anew for each call; and sample the values of its weights.

The values are read live, and nothing computed from them outlives a call: packs equal the reference forward by
structure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Any
from weakref import ref

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig

from prompteol.compat import forward_hooks

_PLAIN = frozenset({bool, int, float, str, bytes, type(None), torch.dtype, torch.device})
# Their hooks, forwards and modules are part of the architecture: the equivalence check covers them. The last ones
# bring the linear layers of quantized weights.
_KNOWN_PACKAGES = frozenset(
    {"accelerate", "bitsandbytes", "peft", "torch", "transformers"}
    | {"aqlm", "awq", "compressed_tensors", "eetq", "gptqmodel", "hqq", "optimum", "torchao"}
)
# About this many values are sampled from each weight.
_SAMPLES = 4


class Structure:
    """Describe a backbone so that two descriptions differ as soon as it may compute differently."""

    def __init__(self, backbone: nn.Module) -> None:
        self._objects: list[Callable[[], Any]] = []
        self._configs: dict[int, Any] = {}
        devices = sorted({parameter.device.type for parameter in backbone.parameters()} - {"meta"})
        self._description = [
            [self._of_module(module) for module in backbone.modules()],
            [self._identity(hook) for hook in forward_hooks(None)],
            [(torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)) for device in devices],
        ]

    def __eq__(self, other: object) -> bool:
        # Another object may have the address of a deleted one.
        return (
            isinstance(other, Structure)
            and self._description == other._description
            and self._alive()
            and other._alive()
        )

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
        # Training and evaluation mode are not part of the structure.
        attributes = [
            (name, self._frozen(value))
            for name, value in vars(module).items()
            if name != "training" and (type(value) is not dict or value)
        ]
        # A class may be patched as well as an object.
        return self._identity(module), type(module).forward, attributes

    def _frozen(self, value: Any) -> Any:
        """Return a hashable copy of a value, which compares equal as long as the value stays the same."""
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
                self._configs[id(value)] = self._identity(value), self._frozen(_settings(value))
            return id(value), self._configs[id(value)]
        return self._identity(value)


def _settings(config: PretrainedConfig) -> dict[str, Any]:
    """Return the settings that a forward may read; the others change when a model is saved, which does not matter."""
    settings = {name: value for name, value in vars(config).items() if name != "architectures"}
    if "dtype" in settings:
        settings["dtype"] = str(settings["dtype"]).removeprefix("torch.")
    return settings


def is_training(backbone: nn.Module) -> bool:
    """Return whether any part is in training mode."""
    return any(module.training for module in backbone.modules())


def foreign_code(modules: Iterable[nn.Module]) -> str:
    """Return the name of a hook, forward or module that was added from outside, or an empty string.

    It may look at the shape of a batch, remember what it saw, or mix tokens for some values of its weights and some
    states only, which no check of a few rows can rule out; so it gets the batches that it was written for.
    """
    if any(map(_is_foreign, forward_hooks(None))):
        return "a hook on the forward of every module"
    own = ""
    for module in modules:
        # Where the outermost one comes from, architectures of somebody's own do too.
        own = own or _package(type(module))
        if any(map(_is_foreign, forward_hooks(module))):
            return f"a forward hook on {type(module).__name__}"
        if _is_foreign(vars(module).get("forward")):
            return f"another forward on {type(module).__name__}"
        if any(_is_foreign(code) and _package(code) != own for code in (type(module), type(module).forward)):
            return f"the module {type(module).__name__}, not of this architecture,"
    return ""


def _is_foreign(code: Any) -> bool:
    while isinstance(code, partial):
        code = code.func
    return code is not None and _package(code) not in _KNOWN_PACKAGES


def _package(code: Any) -> str:
    home: str = getattr(code, "__module__", None) or type(code).__module__
    return home.partition(".")[0]


def settings_sample(module: nn.Module) -> Hashable:
    """Return the kind, the plain settings and the number of hooks of each part; those of a copy are equal."""
    return tuple((type(part), len(list(forward_hooks(part))), *_plain_settings(part)) for part in module.modules())


def _plain_settings(module: nn.Module) -> Iterator[tuple[str, Any]]:
    for name, value in vars(module).items():
        if type(value) in _PLAIN and name != "training" and not name.startswith("_"):
            yield name, value


def weights_sample(module: nn.Module) -> Hashable:
    """Return a cheap checksum of weights, wherever they lie: names, types, and a few values of each.

    An edit between the sampled values escapes it.
    """
    tensors = dict(chain(module.named_parameters(), module.named_buffers()))
    kinds = tuple((name, tensor.dtype) for name, tensor in tensors.items())
    picked: dict[tuple[torch.device, torch.dtype], list[Tensor]] = defaultdict(list)
    for tensor in tensors.values():
        # The values of some quantized or sharded tensors cannot be read.
        with suppress(NotImplementedError, RuntimeError, TypeError):
            flat = tensor.detach().reshape(-1)
            sample = flat[:: max(1, -(-flat.numel() // _SAMPLES))]
            # The values are not converted to float64, which not every device supports.
            sample = sample if sample.dtype == torch.float64 else sample.float()
            if type(sample) is Tensor and not sample.is_meta:
                picked[sample.device, sample.dtype].append(sample)
    # One transfer per device and type.
    values = b"".join(torch.cat(samples).cpu().numpy().tobytes() for samples in picked.values())
    return kinds, tuple(_adapters(module.modules())), values


def _adapters(modules: Iterable[nn.Module]) -> Iterator[Hashable]:
    """Yield which adapters are active in each of PEFT's layers, and their scaling, by public attributes."""
    for module in modules:
        if isinstance(getattr(module, "disable_adapters", None), bool):
            adapters = tuple(getattr(module, "active_adapters", ())), tuple(getattr(module, "merged_adapters", ()))
            yield module.disable_adapters, *adapters, repr(getattr(module, "scaling", None))
