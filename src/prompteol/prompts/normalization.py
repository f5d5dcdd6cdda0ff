"""Normalize a text before it fills the slot, in Python, in Jinja and as rewrites by regular expressions.

A saved chat template runs the Jinja, an exported tokenizer the rewrites. All three must give the same string:
Python and Jinja are written in the same steps with the same string methods, and the rewrites mean the same in
Oniguruma, which ``tokenizers`` uses, and in a browser's regular expressions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

from prompteol.errors import TemplateError

NormalizationMode = Literal["paper", "plain", "none"]

# Closing marks that may follow a sentence's last stop, and the stops of the scripts that a multilingual model meets.
_CLOSERS = "\"'”’»›」』】）)]}"
_STOPS = ".!?…。．！？｡؟۔।॥:;：；"

# The characters that ``str.split`` takes for whitespace, and the two ends of a text.
_SPACE = r"[\u0009-\u000d\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
_START, _END = r"(?<![\s\S])", r"(?![\s\S])"
_COLLAPSE = ((_SPACE + "+", " "), (_START + " ", ""), (" " + _END, ""))


def _paper(text: str) -> str:
    text = " ".join(text.split())
    if text and text[-1] not in ".?\"'":
        text += "."
    text = text.replace('"', "'")
    if text and text[-1] == "?":
        text = text[:-1] + "."
    return text


def _plain(text: str) -> str:
    text = " ".join(text.split())
    if text and (not text.rstrip(_CLOSERS) or text.rstrip(_CLOSERS)[-1] not in _STOPS):
        text += "."
    return text


_PAPER_JINJA = """\
{%- set text = text.split() | join(' ') -%}
{%- if text and text[-1] not in '.?"\\'' -%}{%- set text = text ~ '.' -%}{%- endif -%}
{%- set text = text.replace('"', "'") -%}
{%- if text and text[-1] == '?' -%}{%- set text = text[:-1] ~ '.' -%}{%- endif -%}
"""

_PLAIN_JINJA = """\
{%- set text = text.split() | join(' ') -%}
{%- set bare = text.rstrip(CLOSERS) -%}
{%- if text and (not bare or bare[-1] not in STOPS) -%}{%- set text = text ~ '.' -%}{%- endif -%}
"""

_PAPER_REWRITES = (*_COLLAPSE, ("(?<=[^.?\"'])" + _END, "."), ('"', "'"), (r"\?" + _END, "."))


def _in_class(characters: str) -> str:
    return "[" + "".join(rf"\u{ord(one):04x}" for one in characters) + "]"


# A text that is not empty gets a full stop unless it ends in a stop, with or without closing marks after it.
_PLAIN_REWRITES = (*_COLLAPSE, (rf"(?<!{_in_class(_STOPS)}{_in_class(_CLOSERS)}*)(?<=[\s\S])" + _END, "."))


def jinja_literal(text: str) -> str:
    """Return a text as a Jinja string literal: Jinja reads Python's escapes, and joins no surrogate pairs of JSON."""
    return "'" + text.encode("unicode_escape").decode("ascii").replace("'", "\\'") + "'"


class Normalization(NamedTuple):
    """Change a text the same way in Python, in Jinja and by regular expressions.

    ``jinja`` rewrites the variable ``text``; ``rewrites`` are patterns and what replaces their matches, in order.
    """

    apply: Callable[[str], str]
    jinja: str
    rewrites: tuple[tuple[str, str], ...] = ()


_MODES: dict[str, Normalization] = {
    "paper": Normalization(_paper, _PAPER_JINJA, _PAPER_REWRITES),
    "plain": Normalization(
        _plain,
        _PLAIN_JINJA.replace("CLOSERS", jinja_literal(_CLOSERS)).replace("STOPS", jinja_literal(_STOPS)),
        _PLAIN_REWRITES,
    ),
    "none": Normalization(str, ""),
}


def normalization(mode: NormalizationMode) -> Normalization:
    """Return the normalization of a mode, or raise TemplateError.

    ``"paper"`` does what the authors' evaluation does, in their order: runs of whitespace become one blank; a full
    stop is added unless the text ends in one of ``. ? " '``; double quotes become single ones; a closing question
    mark becomes a full stop. ``"plain"`` collapses whitespace and adds a full stop where no sentence of any script
    ends; questions stay questions and quotes stay quotes. ``"none"`` leaves the text as it is.
    """
    if mode not in _MODES:
        raise TemplateError(f"normalization={mode!r} is none of {', '.join(map(repr, get_args(NormalizationMode)))}")
    return _MODES[mode]
