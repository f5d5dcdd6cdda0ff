"""Resolve the layer that gives the embedding, and find how many positions a backbone has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from prompteol.compat import output_path
from prompteol.errors import LayerError

# Some tables hold a few rows more than there are positions, such as OPT's two.
_EXTRA_ROWS = 4


def resolve_layer(layer: int | float, config: PretrainedConfig) -> int:
    """Return a negative index of the backbone's hidden states, or raise LayerError.

    ``-1`` is the last layer, after the final norm; ``-2`` the one before, without it; and so on to ``-depth``. A float
    in ``(0, 1]`` is a fraction of depth: ``0.9`` of 32 layers is the output of the 29th.
    """
    depth = int(config.get_text_config().num_hidden_layers)
    if isinstance(layer, float) and 0 < layer <= 1:
        return max(1, round(layer * depth)) - depth - 1
    whole = isinstance(layer, int) and not isinstance(layer, bool)
    if whole and -depth <= layer <= -1:
        return int(layer)
    hint = f" (hidden_states[{layer}] is layer={layer - depth - 1})" if whole and 1 <= layer <= depth else ""
    raise LayerError(
        f"layer={layer!r} is outside this backbone of {depth} layers: give a negative index from -{depth} to -1, "
        f"or a fraction of depth above 0 and up to 1.0, such as 0.9{hint}"
    )


def layer_named(modality_config: Mapping[Any, Any]) -> int:
    """Return the layer that a Transformer module's configuration of modalities names, as a negative index."""
    path = output_path(modality_config)
    return int(path[1]) if isinstance(path, list) and path[0] == "hidden_states" else -1


def positions_in_table(backbone: PreTrainedModel) -> int | None:
    """Return how many positions a backbone has in a table, and no row may outgrow; ``None`` where there is no end."""
    most = getattr(backbone.config.get_text_config(), "max_position_embeddings", None)
    if not isinstance(most, int) or most < 1:
        return None
    tokens = backbone.get_input_embeddings()
    tables = [
        *(part.weight for part in backbone.modules() if isinstance(part, nn.Embedding) and part is not tokens),
        *(buffer for buffer in backbone.buffers() if buffer.ndim > 1),
    ]
    rows = range(most, most + _EXTRA_ROWS + 1)
    return most if any(size in rows for table in tables for size in table.shape[:-1]) else None
