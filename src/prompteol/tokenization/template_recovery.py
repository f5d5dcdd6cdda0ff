"""Recover the prompt template of a saved model from its tokenizer alone."""

from __future__ import annotations

from dataclasses import replace

from transformers import PreTrainedTokenizerBase

from prompteol.errors import TemplateError
from prompteol.prompts import PromptTemplate, RetrievalTemplate, compile_chat_template, decompile_chat_template
from prompteol.tokenization.bos import resolve_bos

__all__ = ["recover_template"]


def recover_template(tokenizer: PreTrainedTokenizerBase) -> PromptTemplate | RetrievalTemplate | None:
    """Return the template that this tokenizer's chat template was compiled from, or ``None``.

    Only one that compiles to the same chat template with this tokenizer, to the letter, is returned.
    """
    source = tokenizer.chat_template
    found = decompile_chat_template(source) if isinstance(source, str) else None
    if found is None:
        return None
    for bos in (None, True, False):
        template = _with_bos(found, bos)
        try:
            begins, bos_separator = resolve_bos(tokenizer, template)
        except TemplateError:
            continue
        if compile_chat_template(template, bos=begins, bos_separator=bos_separator) == source:
            return template
    return None


def _with_bos(template: PromptTemplate | RetrievalTemplate, bos: bool | None) -> PromptTemplate | RetrievalTemplate:
    if isinstance(template, RetrievalTemplate):
        return RetrievalTemplate(replace(template.query, bos=bos), replace(template.document, bos=bos))
    return replace(template, bos=bos)
