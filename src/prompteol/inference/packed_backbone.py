"""A backbone's twin: the same weights, its own attention function, able to stop after any layer.

The user's model is never touched: no hook, no attribute, no other attention implementation. The twin copies
the modules that hold a configuration, the layers, and what lies around them, one level deep; everything below is
shared, and so is every weight.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy, deepcopy
from functools import partial
from types import MethodType
from typing import Any

from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from prompteol.inference.attention import NAME, ForwardContext, StopForward, UnsupportedError, current_context, running

__all__ = ["PackedBackbone"]


class PackedBackbone:
    """Run passes through a backbone without changing it.

    Args:
        backbone: what ``AutoModel`` gives; must keep its structure, else the twin is stale.

    Raises:
        UnsupportedError: when the backbone's layers cannot be told.
    """

    def __init__(self, backbone: PreTrainedModel) -> None:
        depth = backbone.config.get_text_config().num_hidden_layers
        self._model = _copy_sharing_weights(backbone, _decoder_layers(backbone, depth))
        self._model.set_attn_implementation(NAME)
        config = self._model.config.get_text_config()
        config.use_cache = config.output_hidden_states = config.output_attentions = False
        for index, layer in enumerate(_decoder_layers(self._model, depth)):
            layer.forward = partial(_run_layer, index, layer.forward)
        self.depth: int = depth

    def run(self, context: ForwardContext, input_ids: Tensor, position_ids: Tensor) -> dict[int, Tensor]:
        """Run one row of tokens; return the wanted entries of ``hidden_states``, each (texts, width).

        Args:
            this: what the pass carries.
            input_ids: (1, tokens).
            position_ids: (1, tokens), counted from the start of each text, prefix included.

        Raises:
            UnsupportedError: when the backbone did not ask our function for attention.
        """
        with running(context):
            try:
                output = self._model(
                    input_ids=input_ids,
                    attention_mask=input_ids.new_ones(input_ids.shape),
                    position_ids=position_ids,
                )
            except StopForward:
                pass
            else:
                context.keep(self.depth, output.last_hidden_state)
        if len(context.attended) != context.depth:
            raise UnsupportedError(f"{type(self._model).__name__} computes attention without transformers' interface")
        return context.kept


def _copy_sharing_weights(backbone: PreTrainedModel, layers: nn.ModuleList) -> PreTrainedModel:
    """Copy the modules that hold a configuration or a layer; share all else, so that the copy follows every edit."""
    own = set(layers)
    modules = list(backbone.modules())
    copied = [m for m in modules if any(part in own or hasattr(part, "config") for part in m.modules())]
    # What deepcopy finds here it takes as it is: parts that stay shared, and the copies in place of the others.
    memo: dict[int, Any] = {id(module): module for module in modules}
    memo |= {id(module): copy(module) for module in copied}
    for module in copied:
        cached_kv = vars(memo[id(module)])
        cached_kv |= {name: _rebound(value, memo) for name, value in cached_kv.items()}
    packed_backbone: PreTrainedModel = memo[id(backbone)]
    return packed_backbone


def _rebound(value: Any, memo: dict[int, Any]) -> Any:
    """Return what a copied module holds in place of a value: its own settings, methods and parts."""
    if isinstance(value, (PretrainedConfig, partial, MethodType)):
        return deepcopy(value, memo)
    if isinstance(value, dict):
        return type(value)((key, memo.get(id(part), part)) for key, part in value.items())
    return memo.get(id(value), value)


def _decoder_layers(model: nn.Module, depth: int) -> nn.ModuleList:
    found = [m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == depth]
    if not found:
        raise UnsupportedError(f"{type(model).__name__} holds no list of {depth} layers")
    return found[0]


def _run_layer(index: int, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Stand in for a decoder layer's forward: keep what is wanted, stop when nothing more is."""
    context = current_context()
    if index == 0:
        context.keep(0, _hidden_states(args, kwargs))
    if index == context.depth:
        raise StopForward
    deepest = index == context.depth - 1
    output = _only_last_tokens(context, forward, args, kwargs) if deepest else forward(*args, **kwargs)
    context.keep(index + 1, output[0] if isinstance(output, tuple) else output)
    return output


def _only_last_tokens(
    context: ForwardContext, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Run the deepest layer that is needed: keys and values of every token, all else of each text's last one.

    The other tokens' states come out as zeros, in their places, for the sake of whatever follows the layers.
    """
    context.stop_at_attention = True
    try:
        forward(*args, **kwargs)
    except StopForward:
        pass
    else:
        raise UnsupportedError("its attention does not go through transformers' interface")
    context.stop_at_attention = False
    before = _hidden_states(args, kwargs)
    take = partial(_take, context.last, before.shape[1])
    output = forward(*take(args), **take(kwargs))
    states = output[0] if isinstance(output, tuple) else output
    after = states.new_zeros(*before.shape[:2], states.shape[2])
    after[:, context.last.to(after.device)] = states
    return (after, *output[1:]) if isinstance(output, tuple) else after


def _hidden_states(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    states: Tensor = args[0] if args else kwargs["hidden_states"]
    return states


def _take(last: Tensor, tokens: int, value: Any) -> Any:
    """Cut everything that has one entry a token, such as rotary angles, down to the last tokens."""
    if isinstance(value, Tensor) and value.ndim > 1 and value.shape[:2] == (1, tokens):
        return value.index_select(1, last.to(value.device))
    if isinstance(value, dict):
        return {key: _take(last, tokens, part) for key, part in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_take(last, tokens, part) for part in value)
    return value
