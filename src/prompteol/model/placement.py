"""Refuse a device or a dtype that does not exist before any weight is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from prompteol.errors import ModelError

__all__ = ["check_device", "check_placement"]

# How accelerate spreads a model by itself, and where it puts what no device has room for.
_SPREADS = frozenset({"auto", "balanced", "balanced_low_0", "sequential", "disk"})
_DTYPES = ("float32", "bfloat16", "float16", "float64")


def check_device(device: Any, name: str = "device=") -> None:
    """Refuse a device that is not there.

    Args:
        device: as torch takes it, or a list of such.
        name: of the argument or option, for the message.

    Raises:
        ModelError: torch cannot put a tensor there.
    """
    if isinstance(device, list):
        for one in device:
            check_device(one, name)
        return
    try:
        torch.empty(0, device=device)
    # torch says the same thing in four ways, by the device.
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        there = [f"{kind}:{index}" for kind in _accelerators() for index in range(torch.accelerator.device_count())]
        raise ModelError(
            f"{name}{device!r} cannot be used here, where there is {' and '.join(['cpu', *there])}: "
            f"{str(error).splitlines()[0]:.200}"
        ) from error


def check_placement(device: Any, model: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Refuse a device, device map or dtype that does not exist.

    Args:
        device: where the model will run.
        model: keyword arguments of the model's ``from_pretrained``.
        config: of the configuration's.

    Raises:
        ModelError: naming it.
    """
    check_device(device)
    placed = model.get("device_map")
    for there in placed.values() if isinstance(placed, Mapping) else [placed]:
        if there is not None and there not in _SPREADS:
            check_device(there, "device_map=")
    for key in ("dtype", "torch_dtype"):
        for options in (model, config):
            _check_dtype(key, options.get(key))


def _check_dtype(key: str, dtype: Any) -> None:
    """Refuse what is no floating dtype; a mapping names one for each part of a composite model."""
    for value in dtype.values() if isinstance(dtype, Mapping) else [dtype]:
        found = getattr(torch, value, None) if isinstance(value, str) else value
        known = isinstance(found, torch.dtype) and found.is_floating_point
        if value not in (None, "auto") and not known:
            raise ModelError(
                f"{key}={value!r} is no dtype that a model can compute in: give 'auto' or one of {', '.join(_DTYPES)}"
            )


def _accelerators() -> list[str]:
    there = torch.accelerator.current_accelerator(check_available=True)
    return [there.type] if there is not None else []
