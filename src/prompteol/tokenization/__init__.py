"""Turn rendered prompts into token ids that fit the model."""

from prompteol.tokenization.bos import recover_template
from prompteol.tokenization.prompt_tokenizer import PromptTokenizer, TokenRows

__all__ = ["PromptTokenizer", "TokenRows", "recover_template"]
