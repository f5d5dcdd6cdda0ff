"""Make the variance of all directions more alike."""

from prompteol.techniques.registry import register_technique
from prompteol.techniques.whitening.config import Whitening

__all__ = ["Whitening"]

register_technique("whitening", Whitening)
