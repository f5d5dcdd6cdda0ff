"""Configure centering."""

from __future__ import annotations

from dataclasses import dataclass

from prompteol.techniques.protocol import FitInputs, LinearMap, Readout

__all__ = ["Centering"]


@dataclass(frozen=True)
class Centering(Readout):
    """Subtract the mean vector of the texts, which all states of one prompt have in common."""

    def fit(self, inputs: FitInputs) -> LinearMap:
        """Return the map."""
        from prompteol.techniques.centering.operation import centering

        return centering(inputs.vectors)
