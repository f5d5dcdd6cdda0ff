"""What the reference forward gives for a few rows, and how far another road may lie from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from prompteol.inference.packing import TokenRow

__all__ = ["Comparison", "compare_with"]

# How far the two roads may lie apart, relative to the largest entry of a state: at least the first figure and at
# most the second, in between four times what the reference forward differs from itself when rows are padded together or
# run alone. Rounding grows with depth, so no fixed figure fits both a 2-layer and an 80-layer model.
_TOLERANCE = {
    torch.float64: (1e-12, 1e-9),
    torch.float32: (6e-6, 1e-5),
    torch.float16: (5e-3, 2e-2),
    torch.bfloat16: (4e-2, 1.5e-1),
}
_TIMES_NOISE = 4
_ROWS_ALONE = 16


@dataclass(frozen=True)
class Comparison:
    """States of some rows by the reference forward, and the difference that rounding explains.

    Args:
        layers: negative indices into ``hidden_states``.
        expected: (rows, width) for each layer.
        allowed: for each layer, relative to the largest entry of a state.
    """

    layers: Sequence[int]
    expected: Sequence[Tensor]
    allowed: Sequence[float]

    def difference(self, found: Sequence[Tensor]) -> str:
        """Describe how a road's states differ beyond rounding, or return nothing."""
        for layer, ours, reference, most in zip(self.layers, found, self.expected, self.allowed, strict=True):
            apart = _apart(ours, reference)
            # Not `apart > most`: NaN must be refused too.
            if not apart <= most:
                return f"layer {layer} differs by {apart:.1e} of its largest entry, rounding explains {most:.1e}"
        return ""


def compare_with(
    reference: Callable[[Sequence[TokenRow]], list[Tensor]], rows: Sequence[TokenRow], layers: Sequence[int]
) -> Comparison | None:
    """Run the reference forward, all rows together and at most 16 alone; return None where a state is not finite.

    NaN equals nothing: such rows prove no road wrong, and should take the stock one.
    """
    expected = reference(rows)
    if not all(bool(states.isfinite().all()) for states in expected):
        return None
    few = list(range(0, len(rows), -(-len(rows) // _ROWS_ALONE)))
    alone = map(torch.cat, zip(*(reference([rows[index]]) for index in few), strict=True))
    allowed = [_allowed(states[few], row) for states, row in zip(expected, alone, strict=True)]
    return Comparison(layers, expected, allowed)


def _allowed(together: Tensor, alone: Tensor) -> float:
    """Return the difference that rounding explains."""
    kind = together.device.type
    mixed = torch.is_autocast_enabled(kind)
    least, most = _TOLERANCE[torch.get_autocast_dtype(kind) if mixed else together.dtype]
    return min(most, max(least, _TIMES_NOISE * _apart(together, alone)))


def _apart(ours: Tensor, reference: Tensor) -> float:
    """Return the largest difference, relative to the largest entry of the row it is in."""
    return float(((ours - reference).abs().amax(1) / reference.abs().amax(1).clamp_min(1e-30)).max())
