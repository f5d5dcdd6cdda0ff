"""Which prompt was asked for, over the one that a model has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from prompteol.prompts.demonstration import Demonstration
from prompteol.prompts.normalization import NormalizationMode
from prompteol.prompts.presets import resolve_demonstrations, resolve_template
from prompteol.prompts.template import PromptTemplate, RetrievalTemplate

__all__ = ["choose_prompt"]


def choose_prompt(
    own: PromptTemplate | RetrievalTemplate,
    chosen: Mapping[str, Any],
    *,
    template: str | PromptTemplate | RetrievalTemplate | None = None,
    demonstrations: str | Iterable[str | Demonstration | tuple[str, str]] | None = None,
    normalization: NormalizationMode | None = None,
) -> tuple[PromptTemplate | RetrievalTemplate, dict[str, Any]]:
    """Return the template that was asked for, and how it came to be.

    Args:
        own: the model's, with its demonstrations.
        chosen: how that one came to be.
        template, demonstrations, normalization: what was asked for. The model's demonstrations are not shown with
            another template.

    Raises:
        TemplateError: one of them cannot be used.
    """
    how = dict(chosen)
    if template is not None:
        own = resolve_template(template)
        how.pop("demonstrations", None)
        how["template"] = template if isinstance(template, str) else "given"
    if normalization is not None and own != own.with_normalization(normalization):
        own = own.with_normalization(normalization)
        how["template"] = "given"
    if demonstrations is not None:
        own = own.with_demonstrations(resolve_demonstrations(demonstrations))
        how["demonstrations"] = demonstrations if isinstance(demonstrations, str) else "given"
    return own, how
