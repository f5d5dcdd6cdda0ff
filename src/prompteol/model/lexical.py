"""Read words off the LM head of a loaded model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from prompteol.errors import InputError
from prompteol.model.settable import SettableModel
from prompteol.model.source import ModelSource
from prompteol.model.words import LanguageModelHead, Word
from prompteol.validation import as_texts


class LexicalModel(SettableModel):
    """Put the LM head back on the backbone when words are asked for."""

    _source: ModelSource
    _head: LanguageModelHead | None = None

    @property
    def head(self) -> LanguageModelHead:
        """The LM head of the backbone, found when first asked for; raises ``ModelError`` where there is none."""
        if self._head is None or self._head.backbone is not self.module.transformer.model:
            self._head = LanguageModelHead(self.module.transformer.model, self._source)
        return self._head

    @overload
    def words(self, texts: str, k: int = 5) -> list[Word]: ...  # type: ignore[overload-overlap]

    @overload
    def words(self, texts: Sequence[str], k: int = 5) -> list[list[Word]]: ...

    def words(self, texts: str | Sequence[str], k: int = 5) -> list[Word] | list[list[Word]]:
        """Return what each text means in one word: the ``k`` likeliest next words, with their probabilities.

        They come from the last layer and the LM head, whatever layer gives the embedding. Each is one token, maybe the
        beginning of a longer word; control characters and single bytes of a character are left out.

        Raises:
            ModelError: the model has no LM head.
        """
        if k < 1:
            raise InputError(f"k={k} asks for no word; give 1 or more")
        batch, single = as_texts(texts)
        self.eval()
        words = self.head.words_of(batch, self.module.prompter, k, max_length=self.max_seq_length or 2**31)
        return words[0] if single else words
