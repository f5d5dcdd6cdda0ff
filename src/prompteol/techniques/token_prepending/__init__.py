"""Let all tokens of a text see its end: Token Prepending."""

from prompteol.techniques.registry import register_technique
from prompteol.techniques.token_prepending.config import TokenPrepending

__all__ = ["TokenPrepending"]

register_technique("token-prepending", TokenPrepending)
