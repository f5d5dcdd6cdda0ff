"""Compute what the demo shows of texts: similarities, neighbors in a sample corpus, words, tokens."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prompteol import PromptEOL
from prompteol.errors import InputError, ModelError
from prompteol.model import Word
from prompteol.prompts import Demonstration, PromptTask, RetrievalTemplate, prompt_of_task
from prompteol.saving.export.web import sample_corpus
from prompteol.vectors import unit

MOST_TEXTS = 16
_WORDS, _NEIGHBORS = 5, 3
_LINE_END = re.compile(r"\r\n?|\n")
_NO_LIMIT = 2**31

# Each token as people read it, and whether it is the template's.
Pieces = list[tuple[str, bool]]


@dataclass(frozen=True)
class TextView:
    """Hold what the demo shows of one text; ``template`` marks the tokens that are the prompt's own."""

    text: str
    vector: NDArray[np.float32]
    words: list[Word]
    neighbors: list[tuple[str, float]]
    tokens: Pieces
    cut: bool


class Panels:
    """Compute what is shown, for one model; safe to call from several threads."""

    def __init__(self, model: PromptEOL) -> None:
        self.model = model
        self.corpus = sample_corpus()
        self.is_pair = isinstance(model.template, RetrievalTemplate)
        #: A technique fills several prompts, so that there is no one row of tokens, and no place for a demonstration.
        self.one_prompt = model.technique is None
        self._corpus_vectors: NDArray[np.float32] | None = None
        try:
            self.speaks = bool(model.head)
        except ModelError:
            self.speaks = False

    def read(self, written: str | None) -> tuple[list[str], int]:
        """Return the texts that are written, one a line, and how many more are left out; InputError where none is."""
        texts = [line for line in _LINE_END.split(written or "") if line.strip()]
        if not texts:
            raise InputError("There is no sentence yet: write one, or several, one a line.")
        return texts[:MOST_TEXTS], max(0, len(texts) - MOST_TEXTS)

    def views(
        self, texts: Sequence[str], task: PromptTask | None = None, demonstration: Demonstration | None = None
    ) -> list[TextView]:
        """Return what is shown of each text, with a demonstration in front of those that the model has, or without.

        Neighbors are looked for without one: the corpus would have to be embedded anew for each.

        Raises:
            InputError: the demonstration leaves no room for a text.
        """
        prompt = self._prompt(task, demonstration)
        if demonstration is not None:
            self._check_room(task, prompt)
        vectors = self._vectors(texts, task, prompt)
        words = self._words(texts, task, prompt)
        corpus = self._corpus() if demonstration is None else None
        rows = self._tokens(texts, task, prompt)
        found = []
        for text, vector, said, (tokens, cut) in zip(texts, vectors, words, rows, strict=True):
            nearest: list[tuple[str, float]] = []
            if corpus is not None:
                scores = corpus @ vector
                nearest = [(self.corpus[place], float(scores[place])) for place in np.argsort(-scores)[:_NEIGHBORS]]
            found.append(TextView(text, vector, said, nearest, tokens, cut))
        return found

    def rendered(self, text: str, task: PromptTask | None = None, demonstration: Demonstration | None = None) -> str:
        """Return the whole prompt of a text."""
        return self.model.module.prompter.render(text, task=task, prompt=self._prompt(task, demonstration))

    def _prompt(self, task: PromptTask | None, demonstration: Demonstration | None) -> str:
        """Return what stands behind BOS: the sentence-transformers prompt, then the demonstration."""
        prompt = prompt_of_task(task, self.model.prompts, self.model.default_prompt_name)
        template, prompt = self.model.template.route(task, prompt)
        if demonstration is None:
            return prompt
        shown = template.with_demonstrations([demonstration]).head
        return prompt + shown.removesuffix(template.prefix)

    def _vectors(self, texts: Sequence[str], task: PromptTask | None, prompt: str) -> NDArray[np.float32]:
        options: dict[str, Any] = {"prompt": prompt} if self.one_prompt else {}
        options |= {"task": task} if task else {}
        encode: Any = self.model.encode
        return unit(encode(list(texts), show_progress_bar=False, **options))

    def _corpus(self) -> NDArray[np.float32]:
        """Return the vectors of the corpus, computed once."""
        if self._corpus_vectors is None:
            task: PromptTask | None = "document" if self.is_pair else None
            self._corpus_vectors = self._vectors(self.corpus, task, self._prompt(task, None))
        return self._corpus_vectors

    def _check_room(self, task: PromptTask | None, prompt: str) -> None:
        """Refuse a demonstration that leaves no room for a text, in the words of a visitor, who sets no option."""
        longest = self.model.max_seq_length or _NO_LIMIT
        prompter, plain = self.model.module.prompter, self._prompt(task, None)
        needed, own = (
            max(
                len(prompter.head(task, some)) + len(prompter.tail(task, some)),
                len(prompter([""], task=task, prompt=some, max_length=_NO_LIMIT)[0]),
            )
            for some in (prompt, plain)
        )
        if needed >= longest:
            raise InputError(
                f"The demonstration is too long for this model: it has {needed - own} tokens, and there is room for "
                f"{max(0, longest - 1 - own)}."
            )

    def _words(self, texts: Sequence[str], task: PromptTask | None, prompt: str) -> list[list[Word]]:
        if not self.speaks or not self.one_prompt:
            return [[] for _ in texts]
        features = self.model.module.padded_rows(texts, task=task, prompt=prompt)
        return self.model.head.next_words(features, self.model.tokenizer, _WORDS)

    def _tokens(self, texts: Sequence[str], task: PromptTask | None, prompt: str) -> list[tuple[Pieces, bool]]:
        """Return each row as people read it, which of its tokens are the template's, and whether its text was cut."""
        if not self.one_prompt:
            return [([], False) for _ in texts]
        prompter, tokenizer = self.model.module.prompter, self.model.tokenizer
        longest = self.model.max_seq_length or _NO_LIMIT
        rows = prompter(texts, task=task, prompt=prompt, max_length=longest)
        head, tail = (part(task, prompt) for part in (prompter.head, prompter.tail))
        found = []
        for text, row in zip(texts, rows, strict=True):
            same = takewhile(lambda pair: pair[0] == pair[1], zip(row, head, strict=False))
            begun, last = len(list(same)), len(row) - len(tail)
            pieces = [(_piece(tokenizer, token), not begun <= place < last) for place, token in enumerate(row)]
            # Only a row that is full can have lost some of its text.
            cut = (
                len(row) >= longest
                and len(prompter([text], task=task, prompt=prompt, max_length=longest + 1)[0]) > longest
            )
            found.append((pieces, cut))
        return found


def _piece(tokenizer: Any, token: int) -> str:
    """Return a token's text, or its own name where it is only some bytes of a character."""
    text = str(tokenizer.decode([token]))
    return str(tokenizer.convert_ids_to_tokens(token)) if not text or "\ufffd" in text else text
