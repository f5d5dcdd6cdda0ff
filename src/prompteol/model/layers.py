"""Which layer gives the embedding: a negative index or a fraction of depth, and how the stock module is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sentence_transformers.base.modules import Transformer
from sentence_transformers.base.modules.transformer import ModalityParams
from transformers import PretrainedConfig

from prompteol.errors import LayerError

__all__ = ["layer_named", "layer_read", "read_from_layer", "resolve_layer"]


def resolve_layer(layer: int | float, config: PretrainedConfig) -> int:
    """Turn a layer as people write it into a negative index of the backbone's hidden states.

    Args:
        layer: ``-1`` is the last, after the final norm; ``-2`` the one before, without it; and so on. A float in
            ``(0, 1]`` is a fraction of depth: ``0.9`` of 32 layers is the output of the 29th.
        config: of the backbone.

    Returns:
        An index from ``-depth`` (the first layer's output) to ``-1``.

    Raises:
        LayerError: outside the backbone, or not a layer at all.
    """
    depth = int(config.get_text_config().num_hidden_layers)
    if isinstance(layer, float) and 0 < layer <= 1:
        return max(1, round(layer * depth)) - depth - 1
    if isinstance(layer, int) and not isinstance(layer, bool) and -depth <= layer <= -1:
        return layer
    hint = f" (hidden_states[{layer}] is layer={layer - depth - 1})" if _is_index(layer, depth) else ""
    raise LayerError(
        f"layer={layer!r} is outside this backbone of {depth} layers: give a negative index from -{depth} to -1, "
        f"or a fraction of depth such as 0.9{hint}"
    )


def layer_read(transformer: Transformer) -> int:
    """Return the layer whose hidden states a stock Transformer module gives, as a negative index."""
    return layer_named(transformer.modality_config)


def layer_named(modality_config: Mapping[Any, Any]) -> int:
    """Return the layer that a Transformer module's configuration of modalities names, as a negative index."""
    read: Mapping[str, Any] = modality_config.get("text") or {}
    path = read.get("method_output_name")
    return int(path[1]) if isinstance(path, list) and path[0] == "hidden_states" else -1


def _is_index(layer: int | float, depth: int) -> bool:
    return isinstance(layer, int) and not isinstance(layer, bool) and 1 <= layer <= depth


def read_from_layer(transformer: Transformer, layer: int) -> None:
    """Make a stock Transformer module give the hidden states of a layer, in memory and when saved.

    The module takes texts as chat messages from then on, so that its chat template renders them.

    Args:
        transformer: changed in place.
        layer: a negative index, as :func:`resolve_layer` returns it.
    """
    # A list is a path into the output; the module's own type names only the one-step form.
    output: Any = "last_hidden_state" if layer == -1 else ["hidden_states", layer]
    forward: ModalityParams = {"method": "forward", "method_output_name": output}
    transformer.modality_config = {"text": forward, "message": {**forward, "format": "flat"}}
    transformer.module_output_name = "token_embeddings"
    transformer.input_formatter.message_format = "flat"
    transformer.input_formatter.supported_modalities = list(transformer.modality_config)
