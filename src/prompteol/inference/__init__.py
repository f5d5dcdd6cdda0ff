"""Compute last-token states with a shared prefix, sequence packing and early exit."""

from prompteol.inference.attention import register_attention
from prompteol.inference.counters import Counters
from prompteol.inference.engine import SharedPrefixEngine
from prompteol.inference.weights_checksum import weights_sample

__all__ = ["Counters", "SharedPrefixEngine", "register_attention", "weights_sample"]
