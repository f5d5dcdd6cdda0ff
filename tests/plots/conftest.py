"""Use the small model and the pairs that the tests of tuning make."""

from tuning.conftest import model, pairs, shots, tune

__all__ = ["model", "pairs", "shots", "tune"]
