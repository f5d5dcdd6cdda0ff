"""Turn rendered prompts into token ids that fit the model."""

from prompteol.tokenization.prompt_tokenizer import PromptTokenizer, TokenRows, recover_template

__all__ = ["PromptTokenizer", "TokenRows", "recover_template"]
