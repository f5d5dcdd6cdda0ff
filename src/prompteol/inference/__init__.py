"""Compute last-token states with a shared prefix, sequence packing and early exit."""

from prompteol.inference.attention import register_attention
from prompteol.inference.engine import SharedPrefixEngine
from prompteol.inference.structure import settings_sample, weights_sample
from prompteol.inference.training_engine import TrainingEngine

__all__ = ["SharedPrefixEngine", "TrainingEngine", "register_attention", "settings_sample", "weights_sample"]
