"""Compile a prompt template to a chat template: the Jinja source that stock loaders run.

The text is the content of the messages, a sentence-transformers prompt arrives as a system message. Everything
constant stands in the source as an escaped string literal, and text only ever as a variable, so neither can be
taken for template syntax.
"""

from __future__ import annotations

from prompteol.prompts.jinja_literal import jinja_literal
from prompteol.prompts.normalization import normalization
from prompteol.prompts.template import PromptTemplate, RetrievalTemplate

__all__ = ["GATHER", "ROUTE", "compile_chat_template"]

GATHER = """\
{%- set said = namespace(prompt='', text='') -%}
{%- for message in messages -%}
{%- if message['role'] == 'system' -%}{%- set said.prompt = said.prompt ~ message['content'] -%}
{%- else -%}{%- set said.text = said.text ~ message['content'] -%}{%- endif -%}
{%- endfor -%}
{%- set text = said.text -%}
"""

ROUTE = """\
{%- set said.role = task if task is defined else 'document' -%}
{%- if said.prompt in ['query', 'document'] -%}
{%- set said.role = said.prompt -%}{%- set said.prompt = '' -%}
{%- endif -%}
"""


def compile_chat_template(
    template: PromptTemplate | RetrievalTemplate, *, bos: bool = False, bos_separator: str = ""
) -> str:
    """Write the chat template whose rendering equals ``template.render`` for every text.

    Args:
        template: a pair compiles to a branch on the role: the system message where it is the name of one, else
            ``task``, which sentence-transformers 6 hands over.
        bos: whether the rendered prompt starts with ``bos_token``.
        bos_separator: what stands between BOS and the prompt; some SentencePiece tokenizers need the blank that they
            otherwise add themselves, and some tokenizers begin texts with other special tokens than BOS.

    Returns:
        Jinja source.
    """
    if isinstance(template, PromptTemplate):
        return GATHER + _body(template, bos, bos_separator)
    return (
        GATHER
        + ROUTE
        + "{%- if said.role == 'query' -%}\n"
        + _body(template.query, bos, bos_separator)
        + "\n{%- else -%}\n"
        + _body(template.document, bos, bos_separator)
        + "\n{%- endif -%}"
    )


def _body(template: PromptTemplate, bos: bool, bos_separator: str) -> str:
    start = ["bos_token"] * bos + [jinja_literal(bos_separator)] * bool(bos_separator)
    parts = [*start, "said.prompt", jinja_literal(template.head), "text", jinja_literal(template.suffix)]
    return normalization(template.normalization).jinja + "{{- " + " ~ ".join(parts) + " -}}"
