"""Turn rendered prompts into token ids that fit the model."""

from prompteol.tokenization.prompt_tokenizer import PromptTokenizer, TokenRows, recover_template
from prompteol.tokenization.state import tokenizer_sample, tokenizer_state

__all__ = ["PromptTokenizer", "TokenRows", "recover_template", "tokenizer_sample", "tokenizer_state"]
