"""Which prompt was asked for, over the one that a model has, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from prompteol.prompts.demonstration import Demonstration
from prompteol.prompts.normalization import NormalizationMode
from prompteol.prompts.presets import resolve_demonstrations, resolve_template
from prompteol.prompts.template import PROMPT_TASKS, PromptTemplate, RetrievalTemplate

__all__ = ["choose_prompt", "keep_valid_provenance", "prompts_for"]


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


def prompts_for(template: PromptTemplate | RetrievalTemplate, prompts: Mapping[str, Any]) -> dict[str, Any]:
    """Return sentence-transformers prompts that go with a template.

    Those of a pair of templates are the names of its roles, unless a text of the user's own stands there; those of a
    single template are empty by default, as a saved model has them.
    """
    tasks: dict[str, str] = {task: task for task in PROMPT_TASKS}
    own = {name: text for name, text in prompts.items() if text != tasks.get(name) and (text or name not in tasks)}
    return {**(tasks if isinstance(template, RetrievalTemplate) else dict.fromkeys(PROMPT_TASKS, "")), **own}


def keep_valid_provenance(
    chosen: Mapping[str, Any], old: PromptTemplate | RetrievalTemplate, new: PromptTemplate | RetrievalTemplate
) -> dict[str, Any]:
    """Return what holds with another template of how template, demonstrations and layer came to be."""
    kept = {name: how for name, how in chosen.items() if name != "demonstrations" or new == old}
    same = new.with_demonstrations(()) == old.with_demonstrations(())
    return kept if same else {**kept, "template": "given"}
