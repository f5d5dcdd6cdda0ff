"""Average the states of MetaEOL's eight prompts of a text."""

from prompteol.techniques.metaeol.config import MetaEOL
from prompteol.techniques.registry import register_technique

__all__ = ["MetaEOL"]

register_technique("metaeol", MetaEOL)
