"""Write a model's own tokenizer so that JavaScript reads each character as the tokenizers library does.

JavaScript lower-cases a capital sigma by its neighbors, and its classes of blanks, marks and punctuation are those of
another Unicode. What is written gives the same tokens in Python, and leaves nothing to the language that reads it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerBase

Part = Mapping[str, Any]

# The one letter whose lower case depends on what surrounds it, by Unicode's SpecialCasing.txt.
_SIGMA: Part = {"type": "Replace", "pattern": {"String": "Σ"}, "content": "σ"}


def write_browser_tokenizer(path: Path, own: PreTrainedTokenizerBase) -> None:
    """Write a model's own tokenizer without what a call sets anew, its character classes spelled out."""
    backend: Any = getattr(own, "backend_tokenizer")  # noqa: B009
    plain = Tokenizer.from_str(backend.to_str())
    plain.no_truncation()
    plain.no_padding()
    state = json.loads(plain.to_str())
    for name in ("normalizer", "pre_tokenizer"):
        state[name] = state[name] and spelled_out(state[name])
    path.write_text(json.dumps(state, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")


def spelled_out(part: Part) -> Part:
    """Return a normalizer or pre-tokenizer, in the form of ``tokenizer.json``, that JavaScript reads in one way."""
    kind = part["type"]
    if kind == "Sequence":
        [name] = [name for name in ("normalizers", "pretokenizers") if name in part]
        return {**part, name: [spelled_out(one) for one in part[name]]}
    if kind == "Lowercase" or (kind == "BertNormalizer" and part.get("lowercase")):
        return {"type": "Sequence", "normalizers": [_SIGMA, part]}
    if kind == "StripAccents":
        return {"type": "Replace", "pattern": {"Regex": _marks()}, "content": ""}
    if kind == "BertPreTokenizer":
        blanks, marks = _bert_classes()
        steps = [_split(blanks, "Removed"), _split(marks, "Isolated")]
        return {"type": "Sequence", "pretokenizers": steps}
    return part


def _split(pattern: str, behavior: str) -> Part:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": False}


@cache
def _marks() -> str:
    """Return the class of the characters that are accents to the tokenizers library."""
    kept = set(normalizers.StripAccents().normalize_str("".join(_characters())))
    return _class(letter for letter in _characters() if letter not in kept)


@cache
def _bert_classes() -> tuple[str, str]:
    """Return the classes of the characters that BERT's pre-tokenizer leaves out, and of those that it sets apart."""
    # Between letters, a character stays in their word, goes, or stands alone.
    pieces = pre_tokenizers.BertPreTokenizer().pre_tokenize_str("x".join(["", *_characters(), ""]))
    together = {letter for piece, _ in pieces if len(piece) > 1 for letter in piece} | {"x"}
    alone = {piece for piece, _ in pieces if len(piece) == 1} - {"x"}
    blanks = (letter for letter in _characters() if letter not in together and letter not in alone)
    return _class(blanks), _class(letter for letter in _characters() if letter in alone)


def _characters() -> Iterable[str]:
    """Yield every character of Unicode; half of a surrogate pair is none."""
    return (chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000)


def _class(letters: Iterable[str]) -> str:
    """Return the class of letters, which are in order, as a pattern of Oniguruma."""
    runs = (list(run) for _, run in groupby(enumerate(map(ord, letters)), lambda pair: pair[1] - pair[0]))
    return "[" + "".join(rf"\x{{{run[0][1]:x}}}-\x{{{run[-1][1]:x}}}" for run in runs) + "]"
