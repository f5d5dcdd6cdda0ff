"""The reference forward: the ordinary forward, rows padded on the right; what the packed forward must equal."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from itertools import chain
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from prompteol.inference.packing import TokenRow

__all__ = ["ReferenceForward", "input_device", "reference_states", "sharing_copy"]

Module = TypeVar("Module", bound=nn.Module)

_recorded: set[type[PreTrainedModel]] = set()


class ReferenceForward:
    """Compute last-token states by the ordinary forward, and leave the backbone picklable.

    Asked for hidden states, transformers hooks every layer with a local function for good, and what carries such a
    hook can no longer be sent to another process. So they are asked of a copy that shares the weights.

    Args:
        backbone: what ``AutoModel`` gives.
        device: where the input goes.
    """

    def __init__(self, backbone: PreTrainedModel, device: torch.device) -> None:
        self._backbone = backbone
        self._device = device

    def states(self, rows: Sequence[TokenRow], entries: Sequence[int]) -> list[Tensor]:
        """Return entries of ``hidden_states`` at each row's last token, (rows, width) each."""
        backbone = self._backbone if set(entries) == {-1} else sharing_copy(self._backbone)
        return reference_states(backbone, rows, entries, self._device)


def input_device(backbone: PreTrainedModel) -> torch.device:
    """Return where input goes; accelerate takes it further itself when it keeps the weights elsewhere."""
    device = next(backbone.get_input_embeddings().parameters()).device
    return torch.device("cpu") if device.type == "meta" else device


def sharing_copy(module: Module, *others: Any) -> Module:
    """Copy a module but not its weights, so that hidden states may be asked of the copy.

    Args:
        module: stays as it is, whatever hooks the copy gets.
        others: further objects that both are to share.
    """
    for part in module.modules():
        if isinstance(part, PreTrainedModel):
            _let_record(type(part), part.config)
    # Quantized layers hold weights beside their parameters, so what has no parts is shared whole.
    whole = (part for part in module.modules() if not any(part.children()))
    shared = chain(module.parameters(), module.buffers(), whole, others)
    return deepcopy(module, {id(part): part for part in shared})


def _let_record(backbone: type[PreTrainedModel], config: PretrainedConfig) -> None:
    """Let transformers know how the layers of a class are recorded.

    It learns that in the constructor, which has not run in a process that a model came to by pickle.
    """
    if backbone not in _recorded:
        with torch.device("meta"):
            backbone(config)
        _recorded.add(backbone)


def reference_states(
    backbone: PreTrainedModel, rows: Sequence[TokenRow], entries: Sequence[int], device: torch.device
) -> list[Tensor]:
    """Return entries of ``hidden_states`` at each row's last token, (rows, width) each.

    Args:
        backbone: what ``AutoModel`` gives.
        rows: token ids.
        entries: indices into ``hidden_states``, negative ones from the end.
        device: where the input goes.
    """
    longest = max(map(len, rows))
    # Any id does for padding: the mask keeps it out, and causal attention keeps it from the tokens before it.
    input_ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], device=device)
    lengths = torch.tensor([len(row) for row in rows], device=device)
    last_only = set(entries) == {-1}
    output = backbone(
        input_ids=input_ids,
        attention_mask=(torch.arange(longest, device=device) < lengths[:, None]).long(),
        output_hidden_states=not last_only,
        use_cache=False,
        return_dict=True,
    )
    stack = {-1: output.last_hidden_state} if last_only else output.hidden_states
    return [_at(stack[entry], lengths - 1) for entry in entries]


def _at(states: Tensor, last: Tensor) -> Tensor:
    """Pick one token of each row from (rows, tokens, width)."""
    return states[torch.arange(len(last), device=states.device), last.to(states.device)]
