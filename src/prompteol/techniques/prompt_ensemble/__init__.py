"""Average the states of several prompts of a text."""

from prompteol.techniques.prompt_ensemble.config import PromptEnsemble
from prompteol.techniques.registry import register_technique

__all__ = ["PromptEnsemble"]

register_technique("prompt-ensemble", PromptEnsemble)
