"""Normalize a text before it fills the slot: each mode in Python and in Jinja, which a saved chat template runs.

They must give the same string for every text, so they are written in the same steps, with the same string methods.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

from prompteol.errors import TemplateError

NormalizationMode = Literal["paper", "plain", "none"]

# Closing marks that may follow a sentence's last stop, and the stops of the scripts a multilingual model meets.
_CLOSERS = "\"'”’»›」』】）)]}"
_STOPS = ".!?…。．！？｡؟۔।॥:;：；"


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


def jinja_literal(text: str) -> str:
    """Return a Jinja string literal of a text: Jinja reads Python's escapes, but joins no surrogate pairs of JSON's."""
    return "'" + text.encode("unicode_escape").decode("ascii").replace("'", "\\'") + "'"


class Normalization(NamedTuple):
    """Change a text the same way in Python (``apply``) and in Jinja (``jinja`` rewrites the variable ``text``)."""

    apply: Callable[[str], str]
    jinja: str


_MODES: dict[str, Normalization] = {
    "paper": Normalization(_paper, _PAPER_JINJA),
    "plain": Normalization(
        _plain, _PLAIN_JINJA.replace("CLOSERS", jinja_literal(_CLOSERS)).replace("STOPS", jinja_literal(_STOPS))
    ),
    "none": Normalization(str, ""),
}


def normalization(mode: NormalizationMode) -> Normalization:
    """Return a mode of normalization, or raise TemplateError.

    ``"paper"`` does what the authors' evaluation does, in their order: runs of whitespace become one blank; a full
    stop is added unless the text ends in one of ``. ? " '``; double quotes become single ones; a closing question
    mark becomes a full stop. ``"plain"`` collapses whitespace and adds a full stop where no sentence of any script
    ends; questions stay questions and quotes stay quotes. ``"none"`` leaves the text as it is.
    """
    if mode not in _MODES:
        raise TemplateError(f"normalization={mode!r} is none of {', '.join(map(repr, get_args(NormalizationMode)))}")
    return _MODES[mode]
