"""Read a prompt template back out of the chat template that it was compiled to."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import get_args

from prompteol.errors import PromptEOLError
from prompteol.prompts.chat_template import GATHER, ROUTE, compile_chat_template
from prompteol.prompts.demonstration import Demonstration
from prompteol.prompts.normalization import NormalizationMode, normalization
from prompteol.prompts.template import PromptTemplate, RetrievalTemplate

__all__ = ["decompile_chat_template"]

_LITERAL = r"'(?:[^'\\]|\\.)*'"
_BODY = re.compile(
    rf"(?P<normalization>.*)\{{\{{- (?P<bos>bos_token ~ )?(?:(?P<separator>{_LITERAL}) ~ )?said\.prompt"
    rf" ~ (?P<head>{_LITERAL}) ~ text ~ (?P<suffix>{_LITERAL}) -\}}\}}",
    re.DOTALL,
)
_QUERY, _ELSE, _END = "{%- if said.role == 'query' -%}\n", "\n{%- else -%}\n", "\n{%- endif -%}"


def decompile_chat_template(source: str) -> PromptTemplate | RetrievalTemplate | None:
    """Return the template that compiles to a chat template to the letter, or ``None`` where there is none.

    What the demonstrations are is found where they repeat the template; else they stay part of the prefix, and the
    prompt is the same.
    """
    rest = source.removeprefix(GATHER)
    template: PromptTemplate | RetrievalTemplate
    try:
        if rest.startswith(ROUTE + _QUERY) and rest.endswith(_END):
            query, _, document = rest[len(ROUTE + _QUERY) : -len(_END)].partition(_ELSE)
            (one, bos, bos_separator), (other, *_) = _body(query), _body(document)
            template = RetrievalTemplate(one, other)
        else:
            template, bos, bos_separator = _body(rest)
    except (PromptEOLError, SyntaxError, ValueError):
        return None
    return template if compile_chat_template(template, bos=bos, bos_separator=bos_separator) == source else None


def _body(source: str) -> tuple[PromptTemplate, bool, str]:
    found = _BODY.fullmatch(source)
    if found is None:
        raise ValueError("not compiled by this package")
    modes = (mode for mode in get_args(NormalizationMode) if normalization(mode).jinja == found["normalization"])
    head, suffix, bos_separator = (ast.literal_eval(found[name] or "''") for name in ("head", "suffix", "separator"))
    return _with_demonstrations(PromptTemplate(head, suffix, next(modes, "none"))), bool(found["bos"]), bos_separator


def _with_demonstrations(template: PromptTemplate) -> PromptTemplate:
    """Tell demonstrations from the prefix."""
    head, suffix = template.prefix, template.suffix
    before, after = PromptTemplate("", suffix).around_word
    _, shown, last = head.rpartition(suffix + before)
    while shown and after in last:
        last = last.partition(after)[2]
        with suppress(PromptEOLError):
            found = tuple(_demonstrations(head, last, suffix + before, after))
            candidate = PromptTemplate(last, suffix, template.normalization, found)
            if candidate.head == head:
                return candidate
    return template


def _demonstrations(head: str, prefix: str, middle: str, after: str) -> Iterator[Demonstration]:
    rest = head.removesuffix(prefix)
    while rest.startswith(prefix) and middle in rest:
        sentence, _, rest = rest.removeprefix(prefix).partition(middle)
        word, closing, following = rest.partition(after + prefix)
        if closing:
            rest = prefix + following
        else:
            word, rest = rest.removesuffix(after), ""
        yield Demonstration(sentence, word)
