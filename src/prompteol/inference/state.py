"""What state a backbone's weights are in, told cheaply enough to ask before every call.

Anything computed from the weights, such as a prefix's keys and values, holds for one state only. Reading
every weight would cost as much as a forward, so a few values of each are compared, together with everything
that a change usually goes along with: where the tensors lie, their types, which adapters act, how many
optimiser steps this process has taken. An edit by hand of weights not among the samples goes unseen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator
from contextlib import suppress
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

__all__ = ["weights_sample", "weights_state"]

_SAMPLES = 4


class _OptimizerSteps:
    taken = 0

    @classmethod
    def count(cls, *_: Any) -> None:
        cls.taken += 1


register_optimizer_step_post_hook(_OptimizerSteps.count)


def weights_state(backbone: nn.Module) -> Hashable:
    """Return something that differs as soon as the backbone may compute other states than before."""
    modules = list(backbone.modules())
    tensors = list(chain(backbone.parameters(), backbone.buffers()))
    kinds = sorted({tensor.device.type for tensor in tensors})
    return (
        tuple(map(id, modules)),
        tuple((id(tensor), tensor.device, tensor.dtype) for tensor in tensors),
        tuple((torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in kinds if kind != "meta"),
        tuple(_adapters(modules)),
        _OptimizerSteps.taken,
        _samples(tensors),
    )


def weights_sample(module: nn.Module) -> Hashable:
    """Return something that differs where weights do, wherever they lie: names, types, and a few values of each."""
    tensors = dict(chain(module.named_parameters(), module.named_buffers()))
    kinds = tuple((name, tensor.dtype) for name, tensor in tensors.items())
    return kinds, tuple(_adapters(list(module.modules()))), _samples(list(tensors.values()))


def _adapters(modules: list[nn.Module]) -> Iterator[Hashable]:
    """Tell which adapters act in each of PEFT's layers, and how strongly, by their public attributes."""
    for module in modules:
        if isinstance(getattr(module, "disable_adapters", None), bool):
            yield (
                module.disable_adapters,
                tuple(getattr(module, "active_adapters", ())),
                tuple(getattr(module, "merged_adapters", ())),
                repr(getattr(module, "scaling", None)),
            )


def _samples(tensors: list[Tensor]) -> bytes:
    """Read a few values of each tensor, one transfer a device and type."""
    picked: dict[tuple[torch.device, torch.dtype], list[Tensor]] = defaultdict(list)
    for tensor in tensors:
        # Some quantised or sharded tensors let nobody look inside.
        with suppress(NotImplementedError, RuntimeError, TypeError):
            flat = tensor.detach().reshape(-1)
            sample = flat[:: max(1, -(-flat.numel() // _SAMPLES))]
            # Not all to float64, which not every device has.
            sample = sample if sample.dtype == torch.float64 else sample.float()
            if type(sample) is Tensor and not sample.is_meta:
                picked[sample.device, sample.dtype].append(sample)
    return b"".join(torch.cat(values).cpu().numpy().tobytes() for values in picked.values())
