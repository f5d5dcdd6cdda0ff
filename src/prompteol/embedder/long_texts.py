"""Warn once that texts run past what a sentence method is made for."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from prompteol.prompts import PromptTask

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


SENSIBLE_TOKENS = 256
"""Tokens of text up to which one vector may stand for it.

PromptEOL sums a text up in one word. At a context of 512 tokens it loses to mean pooling by a factor of 2 to 3 in
nDCG@10 (SCSP, "Selecting What Matters", 2026: 8.5 against 24.5 on Mistral-7B), so the notice comes at half of that,
or where the model itself begins to cut.
"""

# No tokenizer in use makes fewer tokens of ordinary text than one to 16 characters: enough to see that a text is long.
_CHARACTERS_READ_PER_TOKEN = 16
# A text of so few bytes fits beside any prompt that leaves room for a sentence: the prompt need not be measured.
_CERTAIN_SHARE = 0.25


class LongTextWarning(UserWarning):
    """A text is longer than one sentence embedding should stand for."""


class LongTextNotice:
    """Warn about the first text that is too long, then stay silent."""

    def __init__(self) -> None:
        self.given = False

    def check(self, model: SentenceTransformer, texts: Sequence[str], task: PromptTask | None = None) -> None:
        """Warn with :class:`LongTextWarning` if the longest text, beside its prompt, is beyond the sensible length.

        Call it while holding the model's lock: it tokenizes the prompt and at most two texts.
        """
        # A bag of static word vectors has a bare tokenizer, and no last word to put a text into.
        tokenizer = getattr(model, "tokenizer", None)
        if self.given or not texts or not callable(tokenizer):
            return
        limit = min(SENSIBLE_TOKENS, model.max_seq_length or SENSIBLE_TOKENS)
        sizes = [len(text) if text.isascii() else len(text.encode("utf-8", "replace")) for text in texts]
        if max(sizes) <= limit * _CERTAIN_SHARE:
            return
        if model.max_seq_length:
            prompt = model.preprocess([""], **({} if task is None else {"task": task}))["input_ids"][0]
            limit = min(limit, max(0, model.max_seq_length - len(prompt)))
        # The longest, and the longest of a script of which a tokenizer may take every byte for itself.
        rows = range(len(texts))
        longest = max(rows, key=sizes.__getitem__), max(rows, key=lambda row: sizes[row] - len(texts[row]))
        for row in dict.fromkeys(longest):
            # A token holds a byte or more, so a text of few bytes cannot hold many tokens.
            if sizes[row] > limit and self._check_text(tokenizer, texts[row], limit):
                return

    def _check_text(self, tokenizer: Callable[..., Any], text: str, limit: int) -> bool:
        read = text[: limit * _CHARACTERS_READ_PER_TOKEN]
        tokens = len(tokenizer(read, add_special_tokens=False, truncation=False, verbose=False)["input_ids"])
        if tokens <= limit:
            return False
        self.given = True
        counted = f"{tokens} tokens" if len(read) == len(text) else f"more than {tokens} tokens"
        warnings.warn(
            f"a text of {counted} is embedded as one vector, and this method is made for sentences: past {limit} "
            "tokens it loses what the text says, or the model cuts it. Split documents into windows of a few "
            "sentences first. This warning is given once.",
            LongTextWarning,
            stacklevel=4,
        )
        return True
