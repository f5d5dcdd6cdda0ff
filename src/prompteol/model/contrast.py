"""Rank next words by how much likelier the text makes them, and spell out those that are several tokens."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from prompteol.model.words import LanguageModelHead, Word, is_word
from prompteol.tokenization import PromptTokenizer

NEUTRAL_TEXTS = ("", "N/A", "This is a sentence.", "Something happened.")
"""Texts that say nothing; the mean of their next words' probabilities is what the prompt alone suggests."""

# Likeliest tokens whose words are ranked: a rare word's probability may grow a thousandfold and still be noise.
_RANKED = 64
# Likeliest tokens in which other spellings of those words are looked for.
_SPELLINGS = 512
# Tokens of one word; one that goes on is shown as its first token.
_LONGEST = 6


def contrastive_words(
    head: LanguageModelHead,
    prompter: PromptTokenizer,
    texts: Sequence[str],
    k: int,
    *,
    max_length: int,
) -> list[list[Word]]:
    """Return ``k`` words for each text, those first whose probability the text raises most.

    A word's probability is that of the tokens that begin it, summed over upper and lower case.
    """
    neutral, rows = (prompter(some, max_length=max_length) for some in (NEUTRAL_TEXTS, texts))
    contrast = _Contrast(head, prompter.tokenizer, neutral)
    return [words for start in range(0, len(rows), 32) for words in contrast.words_of(rows[start : start + 32], k)]


class _Beginning(NamedTuple):
    """The token that a word begins with, and the probability of all that spell it the same but for case."""

    token: int
    probability: float


class _Contrast:
    """Find the words of prompts by a contrast with prompts of texts that say nothing.

    A causal LM often answers with the text's first word, or with words that are likely behind any text ("The", "A").
    Each word is therefore scored by its probability after the text over that after :data:`NEUTRAL_TEXTS`, as in
    domain-conditional pointwise mutual information (Holtzman et al., 2021).
    """

    def __init__(
        self, head: LanguageModelHead, tokenizer: PreTrainedTokenizerBase, neutral: Sequence[Sequence[int]]
    ) -> None:
        self._head, self._tokenizer = head, tokenizer
        self._usual = self._probabilities(neutral).mean(dim=0)

    def words_of(self, rows: Sequence[Sequence[int]], k: int) -> list[list[Word]]:
        """Return the words of each row of token ids."""
        likely = self._probabilities(rows)
        return [self._words(list(row), probabilities, k) for row, probabilities in zip(rows, likely, strict=True)]

    def _words(self, row: list[int], likely: Tensor, k: int) -> list[Word]:
        ranked = self._ranked(likely, k)
        found: dict[str, Word] = {}
        while ranked and len(found) < k:
            tried, ranked = ranked[: k - len(found)], ranked[k - len(found) :]
            for beginning, text in zip(tried, self._spelled_out(row, tried), strict=True):
                if is_word(text):
                    found.setdefault(text.casefold(), Word(text, beginning.probability))
        return list(found.values())

    def _ranked(self, likely: Tensor, k: int) -> list[_Beginning]:
        """Return the tokens that begin the likeliest words, by how much the text raises the words' probability."""
        ranked = max(_RANKED, 4 * k)
        probabilities, tokens = likely.topk(min(len(likely), max(_SPELLINGS, ranked)))
        usual = self._usual[tokens].tolist()
        spellings: dict[str, list[tuple[int, float, float]]] = {}
        for place, (token, now, before) in enumerate(zip(tokens.tolist(), probabilities.tolist(), usual, strict=True)):
            text = str(self._tokenizer.decode([token])).strip()
            key = text.casefold()
            if is_word(text) and any(map(str.isalnum, text)) and (place < ranked or key in spellings):
                spellings.setdefault(key, []).append((token, now, before))
        gains = []
        for variants in spellings.values():
            now, before = (sum(variant[place] for variant in variants) for place in (1, 2))
            gains.append((now / max(before, torch.finfo(torch.float32).tiny), _Beginning(variants[0][0], now)))
        return [beginning for _, beginning in sorted(gains, key=lambda gain: -gain[0])]

    def _spelled_out(self, row: list[int], beginnings: list[_Beginning]) -> list[str]:
        """Let the model end each word: the likeliest tokens are added while they go on with letters."""
        words = [[beginning.token] for beginning in beginnings]
        going_on = list(range(len(words)))
        for _ in range(_LONGEST):
            if not going_on:
                break
            following = self._probabilities([row + words[place] for place in going_on]).argmax(dim=-1).tolist()
            longer = {place: [*words[place], token] for place, token in zip(going_on, following, strict=True)}
            going_on = [place for place in going_on if _goes_on(self._text(words[place]), self._text(longer[place]))]
            for place in going_on:
                words[place] = longer[place]
        for place in going_on:
            del words[place][1:]
        return [self._text(word).strip() for word in words]

    def _text(self, tokens: list[int]) -> str:
        return str(self._tokenizer.decode(tokens))

    def _probabilities(self, rows: Sequence[Sequence[int]]) -> Tensor:
        return self._head.probabilities(rows, self._tokenizer.pad_token_id)


def _goes_on(word: str, longer: str) -> bool:
    """Return whether a word became longer by letters alone; some bytes of a character count as one."""
    added = longer.removeprefix(word.removesuffix("\ufffd"))
    return bool(added) and all(char == "\ufffd" or unicodedata.category(char)[0] in "LM" for char in added)
