"""Cut the characters of a very long prompt before it is tokenized, where its first tokens are provably the same.

A prompt may be cut between a letter and a blank that a letter follows, ``a| b``, if nothing in the tokenizer reaches
across: no added token holds a letter before a blank, the normalizer maps both sides apart, and either the pre-tokenizer
begins a new piece at the blank or no piece of a BPE vocabulary holds a letter before a blank, so that no merge crosses.
A tokenizer with any part that is not known here to be so is given the whole text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

_SEAM = re.compile(r"[A-Za-z](?= [A-Za-z])")
# Across a seam, also as SentencePiece writes a blank.
_CROSSING = re.compile("[A-Za-z][ \u2581]")
_SENTENCEPIECE_BLANK = "\u2581"
# Characters looked back for a seam: nobody writes longer words.
_LOOK_BACK = 4096

# They map a letter, a blank and a letter without a look at what stands further off.
_LOCAL_NORMALIZERS = frozenset({"NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Prepend", "StripAccents"})

# The pre-tokenizers' patterns of GPT-2, GPT-4, Llama 3, Qwen and Mistral, taken apart. None matches a letter and the
# blank behind it, and what each matches before a seam does not depend on what comes after.
_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_WORDS = [{r" ?\p{L}+"}, {r"[^\r\n\p{L}\p{N}]?\p{L}+"}, {r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+"}] + [
    # Words by their case, a contraction at their end or not: only both together match every word.
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
    """Say where a prompt may be cut for one tokenizer, as long as that is not edited."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        # A class from a model's repository may do more than its backend says.
        known = type(tokenizer).__module__.startswith("transformers.")
        cuts = known and isinstance(backend, Tokenizer) and _has_seams(json.loads(backend.to_str()))
        added = tokenizer.added_tokens_decoder.values()
        self._has_seams = cuts and not any(_CROSSING.search(token.content) for token in added)

    def cut(self, prompt: str, length: int) -> str | None:
        """Return at most the first ``length`` characters, whose tokens are the prompt's first, or None where unsure."""
        seams = list(_SEAM.finditer(prompt, max(0, length - _LOOK_BACK), length)) if self._has_seams else ()
        return prompt[: seams[-1].end()] if seams else None


def _has_seams(parts: Mapping[str, Any]) -> bool:
    normalizers = _steps(parts["normalizer"], "normalizers")
    marked = any(map(_marks_blanks, normalizers))
    if not all(_marks_blanks(step) or step["type"] in _LOCAL_NORMALIZERS for step in normalizers):
        return False
    for step in _steps(parts["pre_tokenizer"], "pretokenizers"):
        if _splits_at_blanks(step):
            # Each piece goes its own way from here on.
            return True
        if not _splits_elsewhere(step, marked=marked):
            return False
    return _merges_within_words(parts["model"])


def _steps(part: Mapping[str, Any] | None, name: str) -> list[Mapping[str, Any]]:
    """Return the steps of a normalizer or pre-tokenizer in their order, however they are nested."""
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
    """Return whether a pre-tokenizer leaves the two sides of a blank together, and splits by what it sees at hand."""
    if step["type"] == "Split":
        # Gemma's splits at blanks, of which its normalizer has left none.
        return _is_known(step) or (marked and step["pattern"] == {"String": " "})
    return step["type"] in ("Digits", "Metaspace")


def _is_known(step: Mapping[str, Any]) -> bool:
    return step["behavior"] == "Isolated" and not step["invert"] and _alternatives(step) <= _ALTERNATIVES


def _alternatives(step: Mapping[str, Any]) -> set[str]:
    return set(_BETWEEN_ALTERNATIVES.split(step["pattern"].get("Regex", "")))


def _merges_within_words(model: Mapping[str, Any]) -> bool:
    """Return whether a model that is given whole sentences never makes a token of a letter and the blank behind it."""
    if model["type"] != "BPE" or model["dropout"]:
        return False
    if model["continuing_subword_prefix"] or model["end_of_word_suffix"]:
        return False
    letters = {*map(chr, range(ord("A"), ord("Z") + 1)), *map(chr, range(ord("a"), ord("z") + 1))}
    pieces = model["vocab"].keys()
    # What has no piece of its own would be drawn together with what has none beside it.
    return {_SENTENCEPIECE_BLANK, *letters} <= pieces and not any(map(_CROSSING.search, pieces))
