"""Compile a prompt template to a chat template, the Jinja source that stock loaders run, and recover it from there.

The text is the content of the messages; a sentence-transformers prompt arrives as a system message. Everything constant
is an escaped string literal, and text is always a variable, so neither can act as template syntax.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import get_args

from prompteol.errors import PromptEOLError
from prompteol.prompts.demonstration import Demonstration
from prompteol.prompts.normalization import NormalizationMode, jinja_literal, normalization
from prompteol.prompts.template import PromptTemplate, RetrievalTemplate, Template

_GATHER = """\
{%- set parts = namespace(prompt='', text='') -%}
{%- for message in messages -%}
{%- if message['role'] == 'system' -%}{%- set parts.prompt = parts.prompt ~ message['content'] -%}
{%- else -%}{%- set parts.text = parts.text ~ message['content'] -%}{%- endif -%}
{%- endfor -%}
{%- set text = parts.text -%}
"""

_ROUTE = """\
{%- set parts.task = task if task is defined else 'document' -%}
{%- if parts.prompt in ['query', 'document'] -%}
{%- set parts.task = parts.prompt -%}{%- set parts.prompt = '' -%}
{%- endif -%}
"""

_LITERAL = r"'(?:[^'\\]|\\.)*'"
_BODY = re.compile(
    rf"(?P<normalization>.*)\{{\{{- (?P<bos>bos_token ~ )?(?:(?P<separator>{_LITERAL}) ~ )?parts\.prompt"
    rf" ~ (?P<head>{_LITERAL}) ~ text ~ (?P<suffix>{_LITERAL}) -\}}\}}",
    re.DOTALL,
)
_QUERY, _ELSE, _END = "{%- if parts.task == 'query' -%}\n", "\n{%- else -%}\n", "\n{%- endif -%}"


def compile_chat_template(template: Template, *, bos: bool = False, bos_separator: str = "") -> str:
    """Write the chat template whose rendering equals ``template.render`` for every text.

    A pair compiles to a branch on the task: the system message where it is the name of one, else ``task``, which
    sentence-transformers hands over. ``bos_separator`` comes between BOS and the prompt, or in place of BOS.
    """
    if isinstance(template, PromptTemplate):
        return _GATHER + _compiled(template, bos, bos_separator)
    query, document = (_compiled(one, bos, bos_separator) for one in (template.query, template.document))
    return _GATHER + _ROUTE + _QUERY + query + _ELSE + document + _END


def _compiled(template: PromptTemplate, bos: bool, bos_separator: str) -> str:
    start = ["bos_token"] * bos + [jinja_literal(bos_separator)] * bool(bos_separator)
    parts = [*start, "parts.prompt", jinja_literal(template.head), "text", jinja_literal(template.suffix)]
    return normalization(template.normalization).jinja + "{{- " + " ~ ".join(parts) + " -}}"


def decompile_chat_template(source: str) -> Template | None:
    """Return the template that compiles to exactly this chat template, or ``None`` where there is none.

    Demonstrations are found where they repeat the template; else they stay part of the prefix.
    """
    body = source.removeprefix(_GATHER)
    template: Template
    try:
        if body.startswith(_ROUTE + _QUERY) and body.endswith(_END):
            query, _, document = body[len(_ROUTE + _QUERY) : -len(_END)].partition(_ELSE)
            (one, bos, bos_separator), (other, *_) = _decompiled(query), _decompiled(document)
            template = RetrievalTemplate(one, other)
        else:
            template, bos, bos_separator = _decompiled(body)
    except (PromptEOLError, SyntaxError, ValueError):
        return None
    return template if compile_chat_template(template, bos=bos, bos_separator=bos_separator) == source else None


def _decompiled(source: str) -> tuple[PromptTemplate, bool, str]:
    found = _BODY.fullmatch(source)
    if found is None:
        raise ValueError("not compiled by this package")
    modes = (mode for mode in get_args(NormalizationMode) if normalization(mode).jinja == found["normalization"])
    head, suffix, bos_separator = (ast.literal_eval(found[name] or "''") for name in ("head", "suffix", "separator"))
    return _with_demonstrations(PromptTemplate(head, suffix, next(modes, "none"))), bool(found["bos"]), bos_separator


def _with_demonstrations(template: PromptTemplate) -> PromptTemplate:
    """Separate the demonstrations from the prefix."""
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
    unread = head.removesuffix(prefix)
    while unread.startswith(prefix) and middle in unread:
        sentence, _, unread = unread.removeprefix(prefix).partition(middle)
        word, closing, following = unread.partition(after + prefix)
        if closing:
            unread = prefix + following
        else:
            word, unread = unread.removesuffix(after), ""
        yield Demonstration(sentence, word)
