"""The packed forward: shared prefix, no padding, only the layers asked for."""

from prompteol.inference.counters import Counters
from prompteol.inference.engine import SharedPrefixEngine
from prompteol.inference.weights_checksum import weights_sample

__all__ = ["Counters", "SharedPrefixEngine", "weights_sample"]
