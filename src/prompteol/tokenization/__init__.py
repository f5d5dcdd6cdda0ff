"""Tokens: from a rendered prompt to token ids that fit the model."""

from prompteol.tokenization.prompt_tokenizer import PromptTokenizer
from prompteol.tokenization.template_recovery import recover_template

__all__ = ["PromptTokenizer", "recover_template"]
