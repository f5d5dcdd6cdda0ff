"""Attention of texts laid end to end: what one forward carries, and the ways to compute it."""

from prompteol.inference.attention.context import (
    Attention,
    ForwardContext,
    KeyValue,
    StopForward,
    UnsupportedError,
    current_context,
    running,
)
from prompteol.inference.attention.grouped import GroupedAttention
from prompteol.inference.attention.interface import NAME
from prompteol.inference.attention.varlen import VariableLengthAttention

__all__ = [
    "NAME",
    "Attention",
    "ForwardContext",
    "GroupedAttention",
    "KeyValue",
    "StopForward",
    "UnsupportedError",
    "VariableLengthAttention",
    "current_context",
    "running",
]
