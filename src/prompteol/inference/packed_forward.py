"""Run the packed forward: a shared prefix once (KV cache), what follows it without padding, no layer too many.

The user's model is never touched. A copy duplicates the modules that hold a configuration, the layers, and what lies
around them, one level deep; everything below is shared, and so is every weight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import copy, deepcopy
from functools import partial
from itertools import chain
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionMaskInterface, PretrainedConfig, PreTrainedModel

from prompteol.inference.attention_mask import mask_of_one_text
from prompteol.inference.context import (
    NAME,
    Attention,
    ForwardContext,
    KeyValue,
    StopForward,
    UnsupportedError,
    current_context,
)
from prompteol.inference.layer_hooks import decoder_layers, watch
from prompteol.inference.packing import Counters, TokenRow
from prompteol.inference.pooling import LAST_TOKEN, TokenPooling
from prompteol.inference.reference_forward import input_device
from prompteol.inference.within_layers import Read, WithinLayers

Prefix = tuple[int, ...]

AttentionMaskInterface.register(NAME, mask_of_one_text)


class PackedForward:
    """Compute last-token states of rows that share a prefix, for one call: the weights may change after it.

    A prefix runs in front of the first pack that has it; its keys and values serve the packs that follow.
    """

    def __init__(
        self,
        packed_backbone: PackedBackbone,
        attention: Attention,
        counters: Counters,
        pooling: TokenPooling = LAST_TOKEN,
    ) -> None:
        self.packed_backbone = packed_backbone
        self.attention = attention
        self._counters = counters
        self._pooling = pooling
        self._prefix_caches: dict[tuple[Prefix, int], tuple[dict[nn.Module, KeyValue], dict[int, Tensor]]] = {}

    def states(self, prefix: Prefix, suffixes: Sequence[TokenRow], layers: Sequence[int | Read]) -> list[Tensor]:
        """Return ``hidden_states`` of some layers, pooled over each row, (rows, width) each, or what else is read.

        ``suffixes`` are the ids behind the prefix in each row, at least one, sorted by length; layers are negative.
        """
        end = self.packed_backbone.depth + 1
        wanted = [end + (layer.layer if isinstance(layer, Read) else layer) for layer in layers]
        depth = max(wanted)
        make_context = partial(ForwardContext, self.attention, device=self.packed_backbone.device, depth=depth)
        cache = self._prefix_caches.get((prefix, depth))
        opening = make_context(lengths=[len(prefix)]) if prefix and cache is None else None
        keys, sums = cache or ({}, {})
        context = make_context(
            lengths=list(map(len, suffixes)),
            prefix=keys,
            prefix_length=len(prefix),
            wanted=frozenset(wanted),
            pooling=self._pooling,
            prefix_sums=sums,
            opening=opening,
        )
        rows = ((*prefix, *suffix) for suffix in suffixes)
        context.within = WithinLayers.of_forward(layers, rows, end - 1, context.last)
        tokens = [*(prefix if opening else ()), *chain.from_iterable(suffixes)]
        kept = self.packed_backbone.run(context, tokens)
        if opening:
            self._prefix_caches[prefix, depth] = context.prefix, context.prefix_sums
            self._counters.add(prefix_tokens=len(prefix))
        if context.within is not None:
            return context.within.values(layers, {index - end: states for index, states in kept.items()})
        return [kept[index] for index in wanted]


class PackedBackbone:
    """Run one-row forwards through a backbone without changing it, with our attention and early exit after any layer.

    The backbone must keep its structure, else the copy is stale; UnsupportedError where it has no list of layers.
    """

    def __init__(self, backbone: PreTrainedModel) -> None:
        depth = backbone.config.get_text_config().num_hidden_layers
        layers = decoder_layers(backbone, depth)
        self._model = _copy_sharing_weights(backbone, layers)
        self._watched = False
        self._model.set_attn_implementation(NAME)
        config = self._model.config.get_text_config()
        config.use_cache = config.output_hidden_states = config.output_attentions = False
        for index, layer in enumerate(decoder_layers(self._model, depth)):
            layer.forward = partial(_run_layer, index, layer.forward)
        self.depth: int = depth
        self._first_position = _first_position(backbone)
        self.device = input_device(backbone)

    def follow_mode(self, backbone: PreTrainedModel) -> None:
        """Be in training where the backbone is, module by module: dropout asks for it."""
        for copied, own in zip(self._model.modules(), backbone.modules(), strict=True):
            copied.training = own.training

    def run(self, context: ForwardContext, tokens: list[int]) -> dict[int, Tensor]:
        """Return the wanted ``hidden_states`` of one row of tokens, each (texts, width)."""
        input_ids = torch.tensor([tokens], device=context.device)
        position_ids = torch.tensor([context.positions], device=context.device) + self._first_position
        if context.within is not None and not self._watched:
            self._watched = True
            config = self._model.config.get_text_config()
            watch(decoder_layers(self._model, self.depth), config, lambda: current_context().within)
        with context.running(), suppress(StopForward):
            output = self._model(
                input_ids=input_ids, attention_mask=torch.ones_like(input_ids), position_ids=position_ids
            )
            context.keep(self.depth, output.last_hidden_state)
        if len(context.attended) != context.depth:
            raise UnsupportedError(f"{type(self._model).__name__} computes attention without transformers' interface")
        return context.kept


def _first_position(backbone: nn.Module) -> int:
    """Return the position of a row's first token: RoBERTa and its kin count from behind that of padding."""
    for module in backbone.modules():
        padding = getattr(module, "padding_idx", None)
        if isinstance(padding, int) and isinstance(getattr(module, "position_embeddings", None), nn.Embedding):
            return padding + 1
    return 0


def _copy_sharing_weights(backbone: PreTrainedModel, layers: nn.ModuleList) -> PreTrainedModel:
    """Copy the modules that hold a configuration or a layer; share all else, so that the copy follows every edit."""
    # With their attention and experts, which may be hooked.
    own = {part for layer in layers for part in (layer, *layer.children()) if any(part.children())}
    modules = list(backbone.modules())
    copied = [m for m in modules if any(part in own or hasattr(part, "config") for part in m.modules())]
    # What deepcopy finds here it takes as it is: parts that stay shared, and the copies in place of the others.
    memo: dict[int, Any] = {id(module): module for module in modules}
    memo |= {id(module): copy(module) for module in copied}
    for module in copied:
        attributes = vars(memo[id(module)])
        attributes |= {name: _rebound(value, memo) for name, value in attributes.items()}
    packed_backbone: PreTrainedModel = memo[id(backbone)]
    return packed_backbone


def _rebound(value: Any, memo: dict[int, Any]) -> Any:
    """Return what a copied module has in place of a value: its own settings, methods and parts."""
    if isinstance(value, (PretrainedConfig, partial, MethodType)):
        return deepcopy(value, memo)
    if isinstance(value, dict):
        return type(value)((key, memo.get(id(part), part)) for key, part in value.items())
    return memo.get(id(value), value)


def _run_layer(index: int, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run a decoder layer, keep the states that are wanted, and stop when nothing more is needed."""
    context = current_context()
    before: Tensor = args[0] if args else kwargs["hidden_states"]
    if index == 0:
        context.keep(0, before)
    if index == context.depth:
        raise StopForward
    all_tokens = not context.pooling.last_only or (context.within is not None and context.within.needs_all_tokens)
    if index == context.depth - 1 and not all_tokens:
        output = _only_last_tokens(context, before, forward, args, kwargs)
    else:
        output = forward(*args, **kwargs)
    context.keep(index + 1, output[0] if isinstance(output, tuple) else output)
    return output


def _only_last_tokens(
    context: ForwardContext, before: Tensor, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Run the deepest layer needed: keys and values of all tokens, all else of the last; others come out as zeros."""
    context.stop_at_attention = True
    with suppress(StopForward):
        forward(*args, **kwargs)
        raise UnsupportedError("its attention does not go through transformers' interface")
    context.stop_at_attention = False
    take = partial(_take, context.last, before.shape[1])
    if context.within is not None:
        context.within.last_only = True
    output = forward(*take(args), **take(kwargs))
    if context.within is not None:
        context.within.last_only = False
    states = output[0] if isinstance(output, tuple) else output
    after = states.new_zeros(*before.shape[:2], states.shape[2])
    after[:, context.last.to(after.device)] = states
    return (after, *output[1:]) if isinstance(output, tuple) else after


def _take(last: Tensor, tokens: int, value: Any) -> Any:
    """Cut everything that has one entry a token, such as rotary angles, down to the last tokens."""
    if isinstance(value, Tensor) and value.ndim > 1 and value.shape[:2] == (1, tokens):
        return value.index_select(1, last.to(value.device))
    if isinstance(value, dict):
        return {key: _take(last, tokens, part) for key, part in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_take(last, tokens, part) for part in value)
    return value
