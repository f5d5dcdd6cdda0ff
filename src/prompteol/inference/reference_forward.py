"""Run the reference forward: rows padded on the right, as sentence-transformers runs them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from copy import deepcopy
from itertools import chain
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from prompteol.errors import ModelError
from prompteol.inference.layer_hooks import watching
from prompteol.inference.packing import TokenRow
from prompteol.inference.pooling import LAST_TOKEN, TokenPooling
from prompteol.inference.within_layers import Read, WithinLayers

Module = TypeVar("Module", bound=nn.Module)

_recorded: set[type[PreTrainedModel]] = set()


def reference_states(
    backbone: PreTrainedModel,
    rows: Sequence[TokenRow],
    layers: Sequence[int | Read],
    pooling: TokenPooling = LAST_TOKEN,
) -> list[Tensor]:
    """Return ``hidden_states`` of some layers, indexed from the end, pooled over each row, (rows, width) each.

    Or what else is read. The backbone gets no hooks, see :func:`sharing_copy`.
    """
    check_own_tokens(backbone)
    device = input_device(backbone)
    longest = max(map(len, rows))
    # Any id does for padding: the mask keeps it out, and causal attention keeps it from the tokens before it.
    input_ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], device=device)
    mask = torch.ones_like(input_ids)
    lengths: Tensor | None = None
    if any(len(row) < longest for row in rows):
        lengths = torch.tensor([len(row) for row in rows], device=device)
        mask = (torch.arange(longest, device=device) < lengths[:, None]).long()
    last_only = set(layers) == {-1}
    depth = backbone.config.get_text_config().num_hidden_layers
    within = WithinLayers.of_forward(layers, rows, depth)
    copied = backbone if last_only and within is None else sharing_copy(backbone)
    with nullcontext() if within is None else watching(copied, within):
        # As sentence-transformers calls it: hooks on the backbone itself see neither.
        output = copied.forward(
            input_ids=input_ids,
            attention_mask=mask,
            output_hidden_states=not last_only,
            use_cache=False,
            return_dict=True,
        )
    stack = {-1: output.last_hidden_state} if last_only else output.hidden_states
    if within is None:
        return [_pooled(stack[layer], lengths, pooling) for layer in layers]
    for one in layers:
        if isinstance(one, Read) and one.site == "mean":
            within.take_mean(one.layer + depth, stack[one.layer])
    states = {one: _pooled(stack[one], lengths, pooling) for one in layers if isinstance(one, int)}
    return within.values(layers, states)


def check_own_tokens(backbone: nn.Module) -> None:
    """Raise ModelError where PEFT puts virtual tokens into each row, so that its last token is another one."""
    config = getattr(backbone, "active_peft_config", None)
    if getattr(config, "is_prompt_learning", False):
        raise ModelError(
            f"the backbone is wrapped in {type(backbone).__name__} with {type(config).__name__}, whose virtual tokens "
            "have no place in a prompt: train an adapter that changes weights, such as LoRA, with model.add_adapter"
        )


def _pooled(states: Tensor, lengths: Tensor | None, pooling: TokenPooling) -> Tensor:
    """Pool (rows, tokens, width); ``lengths`` is None where nothing is padded."""
    if lengths is None:
        if pooling.last_only:
            return states[:, -1]
        lengths = torch.full((len(states),), states.shape[1])
    return pooling.padded(states, lengths.to(states.device))


def input_device(backbone: PreTrainedModel) -> torch.device:
    """Return where input goes; accelerate takes it further itself when it keeps the weights elsewhere."""
    device = next(backbone.get_input_embeddings().parameters()).device
    return torch.device("cpu") if device.type == "meta" else device


def sharing_copy(module: Module, *others: Any) -> Module:
    """Copy a module but not its weights or the other objects given.

    To return hidden states, transformers hooks layers with a local function for good, and what has such a hook can no
    longer be sent to another process.
    """
    for part in module.modules():
        if isinstance(part, PreTrainedModel):
            _let_record(type(part), part.config)
    # Quantized layers hold weights beside their parameters, so what has no parts is shared whole.
    whole = (part for part in module.modules() if not any(part.children()))
    shared = chain(module.parameters(), module.buffers(), whole, others)
    return deepcopy(module, {id(part): part for part in shared})


def _let_record(backbone: type[PreTrainedModel], config: PretrainedConfig) -> None:
    """Have transformers learn how layers are recorded: by a constructor, which has not run where a pickle was read."""
    if backbone not in _recorded:
        with torch.device("meta"):
            backbone(config)
        _recorded.add(backbone)
