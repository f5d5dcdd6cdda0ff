"""Turn rendered prompts into token ids that fit the model."""

from prompteol.tokenization.prompt_tokenizer import PromptTokenizer
from prompteol.tokenization.template_recovery import recover_template
from prompteol.tokenization.token_rows import TokenRows

__all__ = ["PromptTokenizer", "TokenRows", "recover_template"]
