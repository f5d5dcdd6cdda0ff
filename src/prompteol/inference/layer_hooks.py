"""Hook decoder layers, so that forwards read and edit what lies within them.

The hooks sit on copies of a backbone's layers, never on the user's model. What goes into the output projection of
attention is met in the attention function that transformers calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface, PretrainedConfig, PreTrainedModel

from prompteol.compat import eager_attention
from prompteol.inference.context import UnsupportedError
from prompteol.inference.within_layers import WithinLayers

#: The attention of reference forwards that are edited within.
NAME = "prompteol_within"
# How configurations name the number of experts.
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")

_REFERENCE: ContextVar[WithinLayers | None] = ContextVar("prompteol_reference_forward", default=None)
Current = Callable[[], WithinLayers | None]


def reroute(keys: Tensor, values: Tensor, mask: Tensor, last: Tensor, bias: float) -> tuple[Tensor, Tensor, Tensor]:
    """Put each row's last key and value, at ``last``, in front of all, and let every token see it at a bias.

    ``keys`` and ``values`` are (rows, heads, tokens, width); ``mask`` is true where a token is seen, or added to
    scores.
    """
    last, rows = last.to(keys.device), torch.arange(len(keys), device=keys.device)
    keys, values = (torch.cat([part[rows, :, last, None], part], dim=2) for part in (keys, values))
    if mask.dtype == torch.bool:
        mask = torch.zeros(mask.shape, dtype=keys.dtype, device=keys.device).masked_fill(~mask, -torch.inf)
    return keys, values, functional.pad(mask, (1, 0), value=bias)


def decoder_layers(model: nn.Module, depth: int) -> nn.ModuleList:
    """Return the list of a backbone's layers; UnsupportedError where it has none of that length."""
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return module
    raise UnsupportedError(f"{type(model).__name__} holds no list of {depth} layers")


def attention_block(layer: nn.Module) -> nn.Module | None:
    """Return the first attention of a layer, by the name of its class, as transformers names them."""
    return next((part for part in layer.children() if type(part).__name__.endswith("Attention")), None)


def router(layer: nn.Module, config: PretrainedConfig) -> tuple[nn.Module, nn.Module] | None:
    """Return the block of a layer that holds experts, and what routes to them: its weight has a row for each."""
    counts = [getattr(config, name, None) for name in _EXPERTS]
    shapes = {(count, config.hidden_size) for count in counts if isinstance(count, int) and count > 1}
    for block in layer.children():
        for part in block.modules():
            weight = getattr(part, "weight", None)
            if part is not block and isinstance(weight, Tensor) and tuple(weight.shape) in shapes:
                return block, part
    return None


def watch(layers: nn.ModuleList, config: PretrainedConfig, current: Current) -> None:
    """Hook the layers of a copy, so that each forward applies and keeps what ``current()`` says."""
    for index, layer in enumerate(layers):
        layer.register_forward_pre_hook(partial(_before, index, current), with_kwargs=True)
        attention = attention_block(layer)
        if attention is not None:
            attention.register_forward_hook(partial(_after_attention, index, current))
        found = router(layer, config)
        if found is not None:
            found[0].register_forward_pre_hook(partial(_before_experts, index, found[1], current), with_kwargs=True)


def _before(
    index: int, current: Current, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    within = current()
    if within is None:
        return args, kwargs
    within.layer = index
    if args:
        return (within.edit.states(index, args[0], within.places), *args[1:]), kwargs
    return args, {**kwargs, "hidden_states": within.edit.states(index, kwargs["hidden_states"], within.places)}


def _after_attention(index: int, current: Current, _: nn.Module, args: Any, output: Any) -> None:
    within = current()
    if within is not None:
        within.take("attention", index, output[0] if isinstance(output, tuple) else output)


def _before_experts(
    index: int,
    router: nn.Module,
    current: Current,
    _: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    within = current()
    if within is not None:
        within.take("router", index, args[0] if args else kwargs["hidden_states"], partial(_probabilities, router))


def _probabilities(router: nn.Module, states: Tensor) -> Tensor:
    bias: Any = getattr(router, "bias", None)
    weight: Any = router.weight
    return functional.linear(states, weight, bias if isinstance(bias, Tensor) else None).float().softmax(-1)


def _attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, Tensor | None]:
    """Attend as the architecture's eager function does, with the edit of the reference forward that runs."""
    within = _REFERENCE.get()
    if within is None or attention_mask is None:
        raise UnsupportedError(f"{type(module).__name__} has a mask of its own making")
    within.attended.add(module)
    bias = within.edit.rerouted(within.layer)
    if bias is not None:
        key, value, attention_mask = reroute(key, value, attention_mask, within.places.last, bias)
    attention = eager_attention(module) or AttentionInterface()["sdpa"]  # type: ignore[no-untyped-call]
    heads, weights = attention(module, query, key, value, attention_mask, **kwargs)
    return within.heads(heads), weights


AttentionInterface.register(NAME, _attend)
AttentionMaskInterface.register(NAME, AttentionMaskInterface()["eager"])  # type: ignore[no-untyped-call]


@contextmanager
def watching(backbone: PreTrainedModel, within: WithinLayers) -> Iterator[None]:
    """Apply and keep in one reference forward of a copy that is used once; UnsupportedError where it cannot be done."""
    config = backbone.config.get_text_config()
    watch(decoder_layers(backbone, config.num_hidden_layers), config, lambda: within)
    touches_attention = any(site == "heads" for site, _ in within.reads) or type(within.edit).touches_attention
    if touches_attention:
        backbone.set_attn_implementation(NAME)
    token = _REFERENCE.set(within)
    try:
        yield
    finally:
        _REFERENCE.reset(token)
    if touches_attention and not within.attended:
        raise UnsupportedError("it computes attention without transformers' interface")
