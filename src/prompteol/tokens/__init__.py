"""Tokens: from a rendered prompt to token ids that fit the model."""

from prompteol.tokens.prompt_tokenizer import PromptTokenizer
from prompteol.tokens.recovery import recover_template

__all__ = ["PromptTokenizer", "recover_template"]
