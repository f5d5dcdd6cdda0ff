"""Read a forward technique at several layers from one pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import torch

from prompteol.errors import SettingError
from prompteol.techniques.forward import Forward
from prompteol.techniques.module import embedding_module

if TYPE_CHECKING:
    from sentence_transformers.base.modules import Transformer
    from torch import Tensor

    from prompteol.model.module import Engine
    from prompteol.prompts import PromptTask, Template
    from prompteol.techniques import ForwardTechnique
    from prompteol.tokenization import TokenRows


@dataclass
class RecordedPass:
    """Hold what one pass gave, and what it was asked with."""

    rows: TokenRows
    edit: Any
    states: dict[Any, Tensor]


@dataclass
class SharedForward(Forward):
    """Answer a technique that is asked for one layer after another from the passes that it ran for the first.

    A technique runs the same passes in the same order whatever the layer, so each is recorded with all layers. One that
    depends on the layer, by other rows or another edit, is run anew, and so are those behind it.
    """

    wanted: Sequence[int] = ()
    passes: list[RecordedPass] = field(default_factory=list)
    place: int = 0
    alike: bool = True

    def at_each_layer(self) -> Iterator[SharedForward]:
        """Yield this forward for each of the layers wanted."""
        for layer in self.wanted:
            self.layer, self.place, self.alike = layer, 0, True
            yield self

    def __call__(self, rows: TokenRows, reads: Sequence[Any], *, edit: Any = None, note: Any = None) -> list[Tensor]:
        """Return states of the last token by layer, from a recorded pass if there is one."""
        known = self.passes[self.place] if self.place < len(self.passes) else None
        asked = self.alike and known is not None and known.edit == edit and known.rows == rows
        if known is None or not asked or any(read not in known.states for read in reads):
            first = self.alike and known is None
            self.alike = first
            every = list(dict.fromkeys([*reads, *(self.wanted if set(reads) & set(self.wanted) else ())]))
            found = dict(zip(every, super().__call__(rows, every, edit=edit, note=note), strict=True))
            known = RecordedPass(rows, edit, found)
            if first:
                self.passes.append(known)
        self.place += 1
        return [known.states[read] for read in reads]


def at_every_layer(technique: ForwardTechnique, layers: Sequence[int]) -> ForwardTechnique:
    """Return a technique that gives the vectors of another one at several layers, one behind the other.

    It inherits from the other's class, so that whatever that does to prompts is done here.
    """
    kind: Any = type(technique)

    class EveryLayer(kind):  # type: ignore[misc]
        def embed(self, rows: Sequence[TokenRows], forward: Forward) -> Tensor:
            given = {one.name: getattr(forward, one.name) for one in fields(Forward)}
            shared = SharedForward(**given, wanted=layers)
            parts = [technique.embed(rows, one) for one in shared.at_each_layer()]
            forward.dtype = shared.dtype
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
