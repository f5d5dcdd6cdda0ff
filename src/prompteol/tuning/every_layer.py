"""Read a forward technique at several layers from one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from prompteol.errors import SettingError
from prompteol.techniques.module import embedding_module

if TYPE_CHECKING:
    from sentence_transformers.base.modules import Transformer
    from torch import Tensor

    from prompteol.model.module import Engine
    from prompteol.prompts import PromptTask, Template
    from prompteol.techniques import ForwardTechnique


def at_every_layer(technique: ForwardTechnique, layers: Sequence[int]) -> ForwardTechnique:
    """Return a technique that gives the vectors of another one at several layers, one behind the other.

    It inherits from the other's class, so that whatever that does to prompts and states is done here.
    """
    kind: Any = type(technique)
    read = sorted({one for layer in layers for one in technique.layers(layer)})

    class EveryLayer(kind):  # type: ignore[misc]
        def layers(self, layer: int) -> Sequence[int]:
            del layer
            return read

        def combine(self, states: Tensor) -> Tensor:
            wanted = [[read.index(one) for one in kind.layers(self, layer)] for layer in layers]
            parts = [kind.combine(self, states[:, :, places]) for places in wanted]
            if len({part.shape[1] for part in parts}) > 1:
                raise SettingError(f"{kind.__name__} gives vectors of different dimensions at different layers")
            return torch.cat(parts, dim=1)

    found = object.__new__(EveryLayer)
    # Frozen: the fields have been checked when the other was made.
    found.__dict__.update(vars(technique))
    return found  # type: ignore[no-any-return]


class TechniqueForward:
    """Embed texts by a technique, at several layers at once.

    Args:
        transformer: a copy of the model's; a prompt writes its chat template into the tokenizer that this holds.
        template: the model's own, demonstrations included.
        layers: negative indices, whose states have one width.
    """

    def __init__(
        self,
        transformer: Transformer,
        template: Template,
        technique: ForwardTechnique,
        layers: Sequence[int],
        engine: Engine,
    ) -> None:
        self._layers = len(layers)
        every = at_every_layer(technique, layers)
        self._module = embedding_module(transformer, template, every, layer=layers[-1], engine=engine)

    def __call__(self, texts: Sequence[str], task: PromptTask | None) -> tuple[list[Tensor], int]:
        """Return the vectors of each layer, (texts, dimension), and the tokens of all prompts but shared beginnings."""
        features = self._module.preprocess(texts, task=task, engine="auto")
        prompts: Any = features["token_rows"]
        tokens = sum(_tokens(one.rows, len(one.prefix)) for one in prompts)
        vectors: Tensor = self._module(features)["sentence_embedding"]
        return list(vectors.chunk(self._layers, dim=1)), tokens


def _tokens(rows: Sequence[Sequence[int]], prefix: int) -> int:
    distinct = {tuple(row) for row in rows}
    return prefix + sum(len(row) - prefix for row in distinct)
