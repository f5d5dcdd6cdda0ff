"""Configure AlignedWVA: what attention gives the last token, averaged over layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prompteol.errors import SettingError
from prompteol.techniques.protocol import ForwardTechnique, check_layer, layer_index
from prompteol.techniques.registry import register_technique

if TYPE_CHECKING:
    from torch import Tensor

    from prompteol.techniques.forward import Forward
    from prompteol.tokenization import TokenRows


@dataclass(frozen=True)
class AlignedWVA(ForwardTechnique):
    """Average what the attention blocks, output projection included, give the last token (Zhang et al., 2026).

    From the layer ``start`` up to the one that the model embeds by.
    """

    start: int | float = field(default=0.5, metadata={"help": "the first layer, from 0, or a fraction of depth"})

    def __post_init__(self) -> None:
        check_layer("aligned-wva: start", self.start)

    def embed(self, rows: Sequence[TokenRows], forward: Forward) -> Tensor:
        """Return the mean over layers."""
        import torch

        from prompteol.inference.within_layers import Read

        start = layer_index("aligned-wva: start", self.start, forward.depth)
        read = range(start - forward.depth, forward.layer + 1)
        if not read:
            raise SettingError(f"aligned-wva: start={self.start} is above layer={forward.layer}: give less")
        (one,) = rows
        return torch.stack(forward(one, [Read("attention", layer) for layer in read])).float().mean(0)


register_technique("aligned-wva", AlignedWVA)
