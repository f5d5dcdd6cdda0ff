"""Compute attention of texts laid end to end."""

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
from prompteol.inference.attention.registry import AUTO, attention_kernels, check_attention, register_attention
from prompteol.inference.attention.varlen import VariableLengthAttention

__all__ = [
    "AUTO",
    "NAME",
    "Attention",
    "ForwardContext",
    "GroupedAttention",
    "KeyValue",
    "StopForward",
    "UnsupportedError",
    "VariableLengthAttention",
    "attention_kernels",
    "check_attention",
    "current_context",
    "register_attention",
    "running",
]
