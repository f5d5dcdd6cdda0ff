"""A few values of every weight: a cheap way to tell models apart, which an edit between the samples escapes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator
from contextlib import suppress
from itertools import chain

import torch
from torch import Tensor, nn

__all__ = ["weights_sample"]

_SAMPLES = 4


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
        # Some quantized or sharded tensors let nobody look inside.
        with suppress(NotImplementedError, RuntimeError, TypeError):
            flat = tensor.detach().reshape(-1)
            sample = flat[:: max(1, -(-flat.numel() // _SAMPLES))]
            # Not all to float64, which not every device has.
            sample = sample if sample.dtype == torch.float64 else sample.float()
            if type(sample) is Tensor and not sample.is_meta:
                picked[sample.device, sample.dtype].append(sample)
    return b"".join(torch.cat(values).cpu().numpy().tobytes() for values in picked.values())
