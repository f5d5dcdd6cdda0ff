"""Attention of texts laid end to end: what one forward carries, and the ways to compute it."""

from prompteol.inference.attention.groups import GroupedAttention
from prompteol.inference.attention.interface import NAME
from prompteol.inference.attention.passes import (
    Attention,
    KeyValue,
    Pass,
    StopForward,
    UnsupportedError,
    current_pass,
    running,
)
from prompteol.inference.attention.varlen import VariableLengthAttention

__all__ = [
    "NAME",
    "Attention",
    "GroupedAttention",
    "KeyValue",
    "Pass",
    "StopForward",
    "UnsupportedError",
    "VariableLengthAttention",
    "current_pass",
    "running",
]
