"""Verify the gradients of the packed forward against those of the reference forward, without dropout."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from prompteol.inference.comparison import TIMES_NOISE, Comparison, tolerance
from prompteol.inference.context import Attention
from prompteol.inference.equivalence import EquivalenceCheck, Layers
from prompteol.inference.evaluation_mode import evaluation_mode
from prompteol.inference.packed_forward import PackedForward, Prefix
from prompteol.inference.packing import TokenRow
from prompteol.inference.reference_forward import reference_states

# A gradient sums over all tokens, and so does its rounding.
_MOST_ROUNDING = 10
# Any gradient may be off by this part of the largest of the model: small ones are differences of large terms, such as
# that of a bias of keys, zero in exact arithmetic, and how padded rows differ from rows alone can understate that.
# Measured in fp32: below 1e-6 in ordinary models, 1.1e-5 in those that a learning rate of 1 destroyed.
_OF_LARGEST = 5e-5


@dataclass(frozen=True)
class GradientComparison(Comparison):
    """Hold reference states, and reference gradients with how far each may be missed."""

    parameters: Sequence[tuple[str, nn.Parameter]]
    gradients: Sequence[Tensor]
    missed: Sequence[float]

    def difference(self, found: Sequence[Tensor]) -> str:
        """Describe how states or gradients differ beyond rounding; return ``""`` where they do not."""
        if reason := super().difference(found):
            return reason
        gradients = _gradients(found, self.parameters)
        for (name, _), ours, reference, most in zip(
            self.parameters, gradients, self.gradients, self.missed, strict=True
        ):
            difference = float((ours - reference).abs().max())
            # Not `difference > most`: NaN must be refused too.
            if not difference <= most:
                return f"the gradient of {name} differs by {difference:.1e}, rounding explains {most:.1e}"
        return ""


class GradientCheck(EquivalenceCheck):
    """Hand out the packed forward for the rows for which it was found to equal the reference forward, both ways.

    States and the gradients of all that is trained are compared, with dropout off, since both draw at random.
    """

    def forward(self, prefix: Prefix, rows: Sequence[TokenRow], layers: Layers) -> PackedForward | None:
        """Return the packed forward for one call, or None where only the reference forward is right."""
        with self.lock.locked():
            if not self.refused and not self.proven(prefix, rows, layers):
                self._check_without_dropout(prefix, rows, layers)
            if self.refused or not self.attentions or not self.proven(prefix, rows, layers):
                return None
            return self.make_forward(self.attentions[0])

    def _check_without_dropout(self, prefix: Prefix, rows: Sequence[TokenRow], layers: Layers) -> None:
        try:
            with torch.enable_grad(), evaluation_mode(self.backbone):
                self.verify(self.make_forward, prefix, rows, layers)
        except torch.OutOfMemoryError:
            self.refuse("memory did not hold the two gradients to compare")
        # It may hold weights in half precision that know nothing of the graph to come.
        torch.clear_autocast_cache()

    def make_forward(self, attention: Attention) -> PackedForward:
        """Return the packed forward for one call, with dropout where the backbone is in training mode."""
        forward = super().make_forward(attention)
        forward.packed_backbone.follow_mode(self.backbone)
        return forward

    def comparison(self, prefix: Prefix, suffixes: Sequence[TokenRow], layers: Layers) -> Comparison | None:
        """Run the reference forward forth and back, all rows together and each alone."""
        states = super().comparison(prefix, suffixes, layers)
        trained = [(name, part) for name, part in self.backbone.named_parameters() if part.requires_grad]
        if states is None or not states.expected[0].requires_grad:
            return states
        rows = [(*prefix, *suffix) for suffix in suffixes]
        alone = zip(*(reference_states(self.backbone, [row], layers, self.pooling) for row in rows), strict=True)
        together = _gradients(states.expected, trained)
        noise = [
            float((one - other).abs().max())
            for one, other in zip(together, _gradients(list(map(torch.cat, alone)), trained), strict=True)
        ]
        sizes = [float(gradient.abs().max()) for gradient in together]
        if not all(map(math.isfinite, sizes)):
            # As of states: such rows prove no forward wrong.
            return None
        least, most = tolerance(states.expected[0])
        largest = max(sizes)
        missed = [
            min(_MOST_ROUNDING * most * largest, max(least * size, TIMES_NOISE * rounding, _OF_LARGEST * largest))
            for size, rounding in zip(sizes, noise, strict=True)
        ]
        expected = [one.detach() for one in states.expected]
        return GradientComparison(layers, expected, states.allowed, trained, together, missed)


def _gradients(states: Sequence[Tensor], parameters: Sequence[tuple[str, nn.Parameter]]) -> list[Tensor]:
    """Return the gradients of a fixed sum of all entries, without touching those that an optimizer reads."""
    trained = [part for _, part in parameters]
    # No two entries weigh alike, so that none can stand for another.
    weights = [torch.arange(1, one.numel() + 1, device=one.device).sin().to(one.dtype).view_as(one) for one in states]
    found = torch.autograd.grad(list(states), trained, weights, allow_unused=True)
    return [torch.zeros_like(part) if one is None else one for part, one in zip(trained, found, strict=True)]
