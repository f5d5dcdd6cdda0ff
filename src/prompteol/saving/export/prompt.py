"""Define the one prompt that an export writes, and which texts it must be exact for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prompteol.prompts import PromptTask, PromptTemplate
from prompteol.tokenization import PromptTokenizer

NO_LIMIT = 2**31 - 1


@dataclass(frozen=True)
class ExportedPrompt:
    """Name a model's tokenization, a task of it, and the sentence-transformers prompt in front of the template."""

    prompter: PromptTokenizer
    task: PromptTask | None = None
    prefix: str = ""

    @property
    def template(self) -> PromptTemplate:
        """The template of the task."""
        return self.prompter.template.route(self.task, self.prefix)[0]

    @property
    def head(self) -> str:
        """What stands in front of a text: BOS, the sentence-transformers prompt, demonstrations, the prefix."""
        template, prefix = self.prompter.template.route(self.task, self.prefix)
        return self.prompter.start + prefix + template.head

    def rows(self, texts: Sequence[str], max_length: int = NO_LIMIT) -> list[list[int]]:
        """Return the model's own token ids."""
        return self.prompter(texts, task=self.task, prompt=self.prefix, max_length=max_length)

    def ids(self, text: str) -> list[int]:
        """Return the token ids of a piece of a prompt."""
        return list(self.prompter.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def kind(self, text: str) -> str:
        """Return ``ordinary``, ``blank`` or ``special``: a text that holds what the tokenizer reads as one token."""
        normalized = self.template.normalize(text)
        added = self.prompter.tokenizer.added_tokens_decoder.values()
        if any(token.content in read for token in added for read in (text, normalized)):
            return "special"
        return "ordinary" if normalized.strip() else "blank"
