"""Subtract the mean vector and remove the directions of the largest variance."""

from prompteol.techniques.all_but_the_top.config import AllButTheTop
from prompteol.techniques.registry import register_technique

__all__ = ["AllButTheTop"]

register_technique("all-but-the-top", AllButTheTop)
