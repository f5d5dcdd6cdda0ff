"""Configure MoEE: the last token's router weights beside its state, for mixture-of-experts models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prompteol.errors import SettingError
from prompteol.techniques.protocol import ForwardTechnique
from prompteol.techniques.registry import register_technique

if TYPE_CHECKING:
    from torch import Tensor

    from prompteol.techniques.forward import Forward
    from prompteol.tokenization import TokenRows


@dataclass(frozen=True)
class MoEE(ForwardTechnique):
    """Put the state and the router weights of all layers side by side, each of length 1 (Li and Zhou, ICLR 2025).

    So the cosine of two vectors is, up to a constant factor, the paper's weighted sum of the cosine of the states and
    that of the router weights. Nothing is scaled by a batch: a vector does not depend on its neighbors.
    """

    weight: float = field(default=1.0, metadata={"help": "of the router weights' cosine, that of the states having 1"})

    def __post_init__(self) -> None:
        if not isinstance(self.weight, (int, float)) or self.weight <= 0:
            raise SettingError(f"moee: weight={self.weight!r} is no positive number: give 1")

    def embed(self, rows: Sequence[TokenRows], forward: Forward) -> Tensor:
        """Return (texts, width + layers x experts)."""
        import torch
        from torch.nn.functional import normalize

        from prompteol.inference.context import UnsupportedError
        from prompteol.inference.layer_hooks import decoder_layers, router
        from prompteol.inference.within_layers import Read

        config = forward.backbone.config.get_text_config()
        layers = decoder_layers(forward.backbone, forward.depth)[: forward.depth + 1 + forward.layer]
        routed = [index for index, layer in enumerate(layers) if router(layer, config) is not None]
        if not routed:
            raise UnsupportedError("it has no experts")
        (one,) = rows
        state, *weights = forward(one, [forward.layer, *(Read("router", index - forward.depth) for index in routed)])
        routes = torch.cat(weights, dim=1)
        return torch.cat([normalize(state.to(routes), dim=1), self.weight**0.5 * normalize(routes, dim=1)], dim=1)


register_technique("moee", MoEE)
