"""Warn of edits of a model that live in neither weights nor configuration, and so in no saved file.

A false alarm is worse than a miss: what may be another and leave the vectors as they are is not compared.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from prompteol.inference.structure import foreign_code
from prompteol.model import own_module

# What only training, caches, tables' ends and the form of an output depend on.
_NO_MATTER = re.compile(
    r"_.*|training|gradient_checkpointing|inplace|layer_idx|padding_idx|name_or_path|vocab_size|(original_)?max_\w+"
    r"|output_\w+|init(ializer)?_\w+|layers_are_rescaled|\w*(cache|drop|jitter|loss)\w*"
)
_IDLE = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
# These set their frequencies anew in each forward, by the length of its texts.
_MOVING_ROPE = re.compile("dynamic|longrope")
# A backbone that was in half precision once keeps its buffers rounded.
_ROUNDING = 2**-7


def warn_of_lost_edits(backbone: PreTrainedModel, others: Iterable[nn.Module]) -> None:
    """Name the first edit of a backbone that no saved file holds, or code hooked to it or to ``others``."""
    found = next(_lost_edits(backbone), None)
    if found is None:
        places: list[Iterable[nn.Module]] = [backbone.modules(), *([part] for part in others)]
        foreign = next(filter(None, map(foreign_code, places)), None)
        found = foreign and f"the model has {foreign}, and a model read from the saved files has not"
    if found:
        warnings.warn(
            f"not all of this model can be saved: {found}, so a loaded model will give other vectors; make that "
            "change again after loading",
            RuntimeWarning,
            stacklevel=3,
        )


def _lost_edits(backbone: PreTrainedModel) -> Iterator[str]:
    """Compare a backbone with one that its class builds from its configuration, without weights."""
    try:
        with torch.device("meta"):
            rebuilt = type(backbone)(deepcopy(backbone.config))
    # Somebody's own architecture may not be built this way.
    except Exception:
        return
    quantized = getattr(backbone, "is_quantized", False)
    for name, part, there in _pairs("", backbone, rebuilt):
        if isinstance(part, _IDLE) and isinstance(there, _IDLE):
            continue
        if type(part) is not type(there):
            if not quantized:
                yield _differ(name, type(part).__name__ if part is not None else "gone", type(there).__name__)
            continue
        for key, value in vars(there).items():
            own = vars(part).get(key)
            plain = type(own) in (bool, int, float, str) and type(value) in (bool, int, float, str)
            if plain and own != value and not _NO_MATTER.fullmatch(key):
                yield _differ(f"{name}.{key}", repr(own), repr(value))
        for key, buffer in _computed_buffers(there):
            if not _close(vars(part).get(key, dict(part.named_buffers()).get(key)), buffer):
                yield _differ(f"{name}.{key}", "edited", "what the configuration gives")


def _pairs(name: str, part: Any, there: nn.Module) -> Iterator[tuple[str, Any, nn.Module]]:
    """Yield each module of a rebuilt backbone with what is in its place, without an adapter."""
    part = own_module(part)
    yield name, part, there
    if type(part) is type(there):
        for child, module in there.named_children():
            yield from _pairs(f"{name}.{child}".lstrip("."), getattr(part, child, None), module)


def _computed_buffers(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the buffers that a module without weights computes from the configuration, such as rotary frequencies."""
    if any(True for _ in module.named_buffers(recurse=False)) and not any(True for _ in module.parameters()):
        if _MOVING_ROPE.search(str(getattr(module, "rope_type", ""))):
            return
        with suppress(Exception), torch.device("cpu"):
            computed = type(module)(module.config)
            saved = computed.state_dict()
            yield from ((key, value) for key, value in computed.named_buffers() if key not in saved)


def _close(own: Tensor | None, computed: Tensor) -> bool:
    if own is None or own.is_meta:
        return True
    same = own.shape == computed.shape
    return same and torch.allclose(own.detach().cpu().float(), computed.float(), rtol=_ROUNDING, atol=1e-6)


def _differ(place: str, own: str, saved: str) -> str:
    return f"{place.lstrip('.')} is {own}, and a model read from the saved files has {saved}"
