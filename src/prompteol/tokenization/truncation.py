"""Cut a prompt before it is tokenized, where the tokens on either side are provably the same.

A prompt may be cut between a letter and a blank that a letter follows, ``a| b``, if nothing in the tokenizer reaches
across: no added token holds a letter before a blank, the normalizer maps both sides apart, and either the pre-tokenizer
begins a new piece at the blank or no piece of a BPE vocabulary holds a letter before a blank, so that no merge crosses.
A tokenizer with a part that is not known to behave like this gets the whole text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerBase

_SEAM = re.compile(r"[A-Za-z](?= [A-Za-z])")
# A letter and a blank across a seam, also as SentencePiece writes the blank.
_CROSSING = re.compile("[A-Za-z][ \u2581]")
_SENTENCEPIECE_BLANK = "\u2581"
# The number of characters to look back for a seam, more than any word has.
_LOOK_BACK = 4096

# These normalizers map a letter, a blank and a letter without looking at characters further away.
_LOCAL_NORMALIZERS = frozenset({"NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Prepend", "StripAccents"})

# The alternatives in the patterns of GPT-2, GPT-4, Llama 3, Qwen and Mistral. None matches a letter and the
# blank behind it, and what each matches before a seam does not depend on what comes after.
_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_WORDS = [{r" ?\p{L}+"}, {r"[^\r\n\p{L}\p{N}]?\p{L}+"}, {r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+"}] + [
    # Words by their case, with or without a contraction at their end: only both together match every word.
    {rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{end}", rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{end}"}
    for end in ("", _CONTRACTIONS + "?")
]
_ALTERNATIVES = frozenset(
    {
        "'s", "'t", "'re", "'ve", "'m", "'ll", "'d", _CONTRACTIONS,
        r" ?\p{N}+", r"\p{N}", r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+", r" ?[^\s\p{L}\p{N}]+[\r\n]*", r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*", r"\s*[\r\n]+", r"\s*[\r\n]", r"\s+(?!\S)", r"\s+",
    }
).union(*_WORDS)  # fmt: skip
_BETWEEN_ALTERNATIVES = re.compile(r"\|(?![^(]*\))")


class PromptCutter:
    """Find places to cut prompts for one tokenizer, which must not be edited meanwhile."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        self._backend = backend
        self._normalizers: list[Mapping[str, Any]] = []
        # Whether the pre-tokenizer begins a new piece at a blank; None if it has an unknown part.
        self._splits: bool | None = None
        self._added: list[tuple[AddedToken, set[str]]] = []
        # A tokenizer class from a model's repository may do more than its backend.
        if not type(tokenizer).__module__.startswith("transformers.") or not isinstance(backend, Tokenizer):
            return
        parts = _without_vocabulary(backend)
        if parts is None:
            return
        self._normalizers = _steps(parts["normalizer"], "normalizers")
        self._added = [(token, _spellings(token, backend)) for token in tokenizer.added_tokens_decoder.values()]
        if not any(_CROSSING.search(text) for _, texts in self._added for text in texts):
            self._splits = _splits(self._normalizers, _steps(parts["pre_tokenizer"], "pretokenizers"))

    def cut(self, prompt: str, length: int) -> str | None:
        """Return at most the first ``length`` characters, whose tokens are the prompt's first, or None if unsure."""
        if self._splits is None or not (self._splits or self._merges_within_words):
            return None
        seams = list(_SEAM.finditer(prompt, max(0, length - _LOOK_BACK), length))
        return prompt[: seams[-1].end()] if seams else None

    def shared_ends(self, before: str, after: str) -> tuple[str, str]:
        """Return the beginning and the end of a prompt that are tokenized apart from the text, or empty strings.

        The rest begins with a blank, so what the tokenizer puts in front, such as a prefix space, must not change it.
        """
        prepends = any(step["type"] == "Prepend" for step in self._normalizers)
        # A special token that strips the blank behind it would strip it from the other side of the seam.
        takes_blank = any(token.rstrip and text[-1:].isalpha() for token, texts in self._added for text in texts)
        if not self._splits or prepends or takes_blank:
            return "", ""
        beginnings, end = list(_SEAM.finditer(before)), _SEAM.search(after)
        return before[: beginnings[-1].end()] if beginnings else "", after[end.end() :] if end else ""

    @cached_property
    def _merges_within_words(self) -> bool:
        return isinstance(self._backend, Tokenizer) and _merges_within_words(
            json.loads(self._backend.to_str())["model"]
        )


def _spellings(token: AddedToken, backend: Tokenizer) -> set[str]:
    """Return the text of an added token, before and after normalization."""
    normalizer = backend.normalizer
    return {token.content, normalizer.normalize_str(token.content) if normalizer else token.content}


def _without_vocabulary(backend: Tokenizer) -> Mapping[str, Any] | None:
    """Return the parts of a tokenizer without its model, which is slow to write; None if one is written in Python."""
    bare = Tokenizer(BPE())
    bare.normalizer, bare.pre_tokenizer = backend.normalizer, backend.pre_tokenizer
    # For a part that is written in Python, tokenizers raises a plain Exception.
    with suppress(Exception):
        parts: Mapping[str, Any] = json.loads(bare.to_str())
        return parts
    return None


def _splits(normalizers: Sequence[Mapping[str, Any]], steps: Sequence[Mapping[str, Any]]) -> bool | None:
    """Return whether a pre-tokenizer begins a new piece at a blank, or None if it has an unknown part."""
    marked = any(map(_marks_blanks, normalizers))
    if not all(_marks_blanks(step) or step["type"] in _LOCAL_NORMALIZERS for step in normalizers):
        return None
    for step in steps:
        if _splits_at_blanks(step):
            # From here on, each piece is handled apart from the others.
            return True
        if not _splits_elsewhere(step, marked=marked):
            return None
    return False


def _steps(part: Mapping[str, Any] | None, name: str) -> list[Mapping[str, Any]]:
    """Return the steps of a normalizer or pre-tokenizer as one list, in order."""
    if part is None:
        return []
    return [step for inner in part[name] for step in _steps(inner, name)] if part["type"] == "Sequence" else [part]


def _marks_blanks(step: Mapping[str, Any]) -> bool:
    """Return whether a normalizer writes blanks as SentencePiece does."""
    changed = step["type"] == "Replace" and step["pattern"] == {"String": " "}
    return bool(changed and step["content"] == _SENTENCEPIECE_BLANK)


def _splits_at_blanks(step: Mapping[str, Any]) -> bool:
    if step["type"] == "Split":
        alternatives = _alternatives(step)
        return _is_known(step) and any(words <= alternatives for words in _WORDS)
    flag = {"ByteLevel": "use_regex", "Metaspace": "split"}.get(step["type"], "")
    return step["type"] == "BertPreTokenizer" or bool(step.get(flag, False))


def _splits_elsewhere(step: Mapping[str, Any], *, marked: bool) -> bool:
    """Return whether a pre-tokenizer does not split at blanks, and splits elsewhere by nearby characters alone."""
    if step["type"] == "Split":
        # Gemma's pre-tokenizer splits at blanks, but its normalizer has replaced all of them.
        return _is_known(step) or (marked and step["pattern"] == {"String": " "})
    return step["type"] in ("Digits", "Metaspace")


def _is_known(step: Mapping[str, Any]) -> bool:
    return step["behavior"] == "Isolated" and not step["invert"] and _alternatives(step) <= _ALTERNATIVES


def _alternatives(step: Mapping[str, Any]) -> set[str]:
    return set(_BETWEEN_ALTERNATIVES.split(step["pattern"].get("Regex", "")))


def _merges_within_words(model: Mapping[str, Any]) -> bool:
    """Return whether a model of whole sentences never makes one token of a letter and the blank behind it."""
    if model["type"] != "BPE" or model["dropout"]:
        return False
    if model["continuing_subword_prefix"] or model["end_of_word_suffix"]:
        return False
    letters = {*map(chr, range(ord("A"), ord("Z") + 1)), *map(chr, range(ord("a"), ord("z") + 1))}
    pieces = model["vocab"].keys()
    # Neighboring characters without a piece of their own would be fused into one unknown token.
    return {_SENTENCEPIECE_BLANK, *letters} <= pieces and not any(map(_CROSSING.search, pieces))
