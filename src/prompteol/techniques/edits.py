"""Edit what lies within layers: a prepended token, a steered direction, a rerouted key and value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from prompteol.inference.within_layers import Edit, Places


@dataclass(frozen=True)
class Prepend(Edit):
    """Before each layer from ``start`` up to ``stop``, give the token at ``place`` of a row the last token's state."""

    start: int
    stop: int
    place: int

    def states(self, layer: int, states: Tensor, places: Places) -> Tensor:
        """Return the states with that token's overwritten."""
        if not self.start <= layer < self.stop:
            return states
        # In a pack, the prefix is taken to stand in front of the first token that is not shared. The equivalence
        # check runs parts of rows, too, which may end before it.
        token = torch.minimum(places.first + self.place, places.last)
        return states.index_put((places.row.to(states.device), token.to(states.device)), places.at_last(states))


@dataclass(frozen=True)
class Steer(Edit):
    """In one layer, replace the last token's attention values ``A`` by what tells them from ``B``, the row's note.

    That is ``strength * (A - B)``, or with no strength ``A - B`` as long as ``A``.
    """

    layer: int
    strength: float | None
    touches_attention: ClassVar[bool] = True

    def heads(self, layer: int, heads: Tensor, places: Places) -> Tensor:
        """Return the values with the last tokens' replaced."""
        if layer != self.layer:
            return heads
        own = places.at_last(heads)
        away = own - torch.stack(list(places.notes)).to(own).view_as(own)
        if self.strength is None:
            length, apart = (part.flatten(1).norm(dim=1)[:, None, None] for part in (own, away))
            steered = away * (length / apart.clamp_min(torch.finfo(own.dtype).tiny))
        else:
            steered = self.strength * away
        return heads.index_put((places.row.to(heads.device), places.last.to(heads.device)), steered)


@dataclass(frozen=True)
class Reroute(Edit):
    """In the layers from ``start`` up to ``stop``, let all tokens of a text see its last one's key and value."""

    start: int
    stop: int
    bias: float
    touches_attention: ClassVar[bool] = True

    def rerouted(self, layer: int) -> float | None:
        """Return the bias where the layer is one of them."""
        return self.bias if self.start <= layer < self.stop else None
