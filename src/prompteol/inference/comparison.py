"""Tell whether states equal those of the reference forward up to rounding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from prompteol.inference.packing import TokenRow
from prompteol.inference.within_layers import Read

# How far packed and reference forward may differ, relative to the largest entry of a state: at least the first figure
# and at most the second, in between four times what the reference forward differs from itself when rows are padded
# together or run alone. Rounding grows with depth, so no fixed figure fits both a 2-layer and an 80-layer model.
_TOLERANCE = {
    torch.float64: (1e-12, 1e-9),
    torch.float32: (6e-6, 1e-5),
    torch.float16: (5e-3, 2e-2),
    torch.bfloat16: (4e-2, 1.5e-1),
}
TIMES_NOISE = 4
_ROWS_ALONE = 16
# Padding on the left moves positions, so rotary angles are rounded differently. In float64 too: transformers
# computes these angles in float32.
_PADDED_TOGETHER = 3


@dataclass(frozen=True)
class Comparison:
    """Hold reference states, (rows, width) per layer, and the relative difference that rounding explains."""

    layers: Sequence[int | Read]
    expected: Sequence[Tensor]
    allowed: Sequence[float]

    def difference(self, found: Sequence[Tensor]) -> str:
        """Describe how states differ beyond rounding; return ``""`` if they do not."""
        for layer, ours, reference, most in zip(self.layers, found, self.expected, self.allowed, strict=True):
            difference = _relative_difference(ours, reference)
            # `difference > most` would accept NaN, which must be refused too.
            if not difference <= most:
                return f"layer {layer} differs by {difference:.1e} of its largest entry, rounding explains {most:.1e}"
        return ""


def compare_with(
    reference: Callable[[Sequence[TokenRow]], list[Tensor]], rows: Sequence[TokenRow], layers: Sequence[int | Read]
) -> Comparison | None:
    """Run the reference forward, all rows together and at most 16 alone; return None if a state is not finite.

    NaN equals nothing, so such rows cannot show that a forward is wrong.
    """
    expected = reference(rows)
    if not all(bool(states.isfinite().all()) for states in expected):
        return None
    few = list(range(0, len(rows), -(-len(rows) // _ROWS_ALONE)))
    alone = map(torch.cat, zip(*(reference([rows[index]]) for index in few), strict=True))
    allowed = [_allowed(states[few], row) for states, row in zip(expected, alone, strict=True)]
    return Comparison(layers, expected, allowed)


def largest_difference(ours: Tensor, together: Tensor, alone: Tensor) -> str:
    """Describe how ``ours`` differs beyond rounding from rows padded together; return ``""`` if it does not.

    It is relative to the largest entry. Rounding is, within limits, the difference of rows alone and rows together.
    """
    _, most = tolerance(together)
    scale = together.abs().max().clamp_min(1e-30)
    noise, apart = (float((other - together).abs().max() / scale) for other in (alone, ours))
    limit = _PADDED_TOGETHER * max(most, _TOLERANCE[torch.float32][1])
    allowed = min(limit, max(most, TIMES_NOISE * noise))
    if apart <= allowed:
        return ""
    return f"they differ by {apart:.1e} of the largest entry, rounding explains {allowed:.1e}"


def tolerance(states: Tensor) -> tuple[float, float]:
    """Return the lower and the upper limit of the allowed difference, for the precision of the states."""
    kind = states.device.type
    mixed = torch.is_autocast_enabled(kind)
    return _TOLERANCE[torch.get_autocast_dtype(kind) if mixed else states.dtype]


def _allowed(together: Tensor, alone: Tensor) -> float:
    least, most = tolerance(together)
    return min(most, max(least, TIMES_NOISE * _relative_difference(together, alone)))


def _relative_difference(ours: Tensor, reference: Tensor) -> float:
    """Return the largest difference, relative to the largest entry of the row it is in."""
    ours, reference = ours.detach(), reference.detach()
    return float(((ours - reference).abs().amax(1) / reference.abs().amax(1).clamp_min(1e-30)).max())
