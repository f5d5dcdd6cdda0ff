"""The fast road: shared prefix, no padding, only the layers asked for."""

from prompteol.inference.counters import Counters
from prompteol.inference.engine import SharedPrefixEngine
from prompteol.inference.state import weights_sample

__all__ = ["Counters", "SharedPrefixEngine", "weights_sample"]
