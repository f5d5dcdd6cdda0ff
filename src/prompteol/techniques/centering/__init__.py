"""Subtract the mean vector."""

from prompteol.techniques.centering.config import Centering
from prompteol.techniques.registry import register_technique

__all__ = ["Centering"]

register_technique("centering", Centering)
