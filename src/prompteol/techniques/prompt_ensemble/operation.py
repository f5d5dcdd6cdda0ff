"""Write one template in several wordings."""

from __future__ import annotations

from dataclasses import replace

from prompteol.errors import SettingError
from prompteol.prompts import TEMPLATES, PromptTemplate, RetrievalTemplate

__all__ = ["reworded", "wording"]


def wording(given: str) -> str:
    """Return the wording behind a template's name, or a wording as it is.

    Raises:
        SettingError: the name is one of a pair of templates.
        TemplateError: it is no name and has no slot.
    """
    template = TEMPLATES.get(given) or PromptTemplate.parse(given)
    if isinstance(template, RetrievalTemplate):
        raise SettingError(f"prompt-ensemble: {given!r} is a pair of templates: name single ones")
    return str(template.with_demonstrations(()))


def reworded(template: PromptTemplate, wording: str) -> PromptTemplate:
    """Return a template in another wording, with its normalization and its demonstrations."""
    other = PromptTemplate.parse(wording)
    return replace(template, prefix=other.prefix, suffix=other.suffix)
