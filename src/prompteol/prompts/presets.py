"""Name the templates and demonstrations of the literature, and choose between a model's prompt and a user's.

Wording and figures: PromptEOL (Jiang et al., Findings of EMNLP 2024), Pretended CoT and Knowledge Enhancement (Zhang
et al., ICIC 2024), PromptReps (Zhuang et al., EMNLP 2024).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from prompteol.errors import TemplateError
from prompteol.prompts.demonstration import Demonstration, as_demonstration
from prompteol.prompts.normalization import NormalizationMode
from prompteol.prompts.template import (
    PROMPT_TASKS,
    SLOT,
    PromptTask,
    PromptTemplate,
    RetrievalTemplate,
    Template,
)

TemplateLike = str | Template
DemonstrationsLike = str | Iterable[str | Demonstration | tuple[str, str]]


def _promptreps(kind: str) -> PromptTemplate:
    """Return the PromptReps template; the authors write for a chat model, here it is one string without chat markup."""
    suffix = f'". Use one word to represent the {kind} in a retrieval task. Make sure your word is in lowercase. '
    return PromptTemplate(f'{kind.capitalize()}: "', f'{suffix}The word is: "', normalization="plain")


PROMPTEOL = PromptTemplate('This sentence : "', '" means in one word:"')

_templates: dict[str, Template] = {
    "prompteol": PROMPTEOL,
    "pretended-cot": PromptTemplate('After thinking step by step , this sentence : "', '" means in one word:"'),
    "knowledge-enhancement": PromptTemplate(
        "The essence of a sentence is often captured by its main subjects and actions, while descriptive terms "
        'provide additional but less central details. With this in mind , this sentence : "',
        '" means in one word:"',
    ),
    "promptreps": RetrievalTemplate(query=_promptreps("query"), document=_promptreps("passage")),
    # The paper's "prompt" baseline, without the one-word limit.
    "prompt": PromptTemplate('This sentence : "', '" means'),
}
TEMPLATES: Mapping[str, Template] = MappingProxyType(_templates)
"""The presets by name; :func:`register_template` adds to them."""

# The best of the paper's 300 demonstrations for each OPT, selected there by Spearman on STS-B dev.
DEMONSTRATIONS: Mapping[str, Demonstration] = MappingProxyType(
    {
        "opt-125m": Demonstration("A man is smoking.", "Smoking"),
        "opt-350m": Demonstration("A man is playing on a guitar and singing.", "Music"),
        "opt-1.3b": Demonstration("relating to switzerland or its people.", "Swiss"),
        "opt-2.7b": Demonstration("A jockey riding a horse.", "Equestrian"),
        "opt-6.7b": Demonstration("The man is riding a horse.", "Horseback-riding"),
        "opt-13b": Demonstration("meat from a deer.", "Venison"),
        "opt-30b": Demonstration("The man is riding a motorcycle down the road.", "Motorcycling"),
        "opt-66b": Demonstration("of or relating to tutors or tutoring.", "Tutorial"),
    }
)


def register_template(name: str, template: TemplateLike) -> None:
    """Add a preset, which ``template=`` and ``--template`` then know by its name.

    A saved model holds the template itself, so it loads where the name is not registered.

    Args:
        name: a name that no preset has yet, without whitespace.
        template: a string with one ``{text}``, or a template.

    Raises:
        TemplateError: the name is taken or not valid, or the template cannot be used.
    """
    if not isinstance(name, str) or not name or SLOT in name or any(map(str.isspace, name)):
        raise TemplateError(
            f"preset name {name!r} is not valid: give a short one without whitespace, such as 'my-template'"
        )
    if name in _templates:
        raise TemplateError(f"template preset {name!r} exists: {str(_templates[name])!r}; choose another name")
    if isinstance(template, str):
        template = PromptTemplate.parse(template)
    _templates[name] = resolve_template(template)


def resolve_template(template: TemplateLike) -> Template:
    """Return the template behind a preset's name, a string with a slot, or a template."""
    if isinstance(template, (PromptTemplate, RetrievalTemplate)):
        return template
    if not isinstance(template, str):
        raise TemplateError(f"template={template!r} is {type(template).__name__}: give a name, a string or a template")
    if template in TEMPLATES:
        return TEMPLATES[template]
    if SLOT not in template and " " not in template and "_" not in template:
        raise TemplateError(f"template={template!r} is no preset ({', '.join(TEMPLATES)}) and has no {SLOT} slot")
    return PromptTemplate.parse(template)


def resolve_demonstrations(demonstrations: DemonstrationsLike) -> tuple[Demonstration, ...]:
    """Return demonstrations from a preset's name, ``"sentence=>word"`` strings, pairs, or demonstrations."""
    if not isinstance(demonstrations, str):
        return tuple(map(as_demonstration, demonstrations))
    if demonstrations in DEMONSTRATIONS:
        return (DEMONSTRATIONS[demonstrations],)
    if "=>" in demonstrations:
        return (Demonstration.parse(demonstrations),)
    raise TemplateError(
        f'demonstrations={demonstrations!r} is no preset ({", ".join(DEMONSTRATIONS)}) and no "sentence=>word"'
    )


def choose_prompt(
    own: Template,
    provenance: Mapping[str, Any],
    *,
    template: TemplateLike | None = None,
    demonstrations: DemonstrationsLike | None = None,
    normalization: NormalizationMode | None = None,
) -> tuple[Template, dict[str, Any]]:
    """Return the template to use and its provenance; another template drops the model's demonstrations."""
    how = dict(provenance)
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


def prompts_for(template: Template, old: Template, prompts: Mapping[str, Any]) -> dict[str, Any]:
    """Return sentence-transformers prompts of a template: its own, and the user's among those of the old template."""
    usual = _usual_prompts(old)
    return _usual_prompts(template) | {name: text for name, text in prompts.items() if usual.get(name) != text}


def prompt_of_task(task: PromptTask | None, prompts: Mapping[str, str | None], default: str | None) -> str:
    """Return the sentence-transformers prompt of a task, as ``encode_query`` and ``encode_document`` choose it.

    ``default`` names the prompt to use without a task, and for a task that has no prompt.
    """
    names = {"query": ("query",), "document": ("document", "passage", "corpus")}.get(task or "", ())
    name = next((name for name in names if name in prompts), default)
    return (prompts.get(name) if name else None) or ""


def _usual_prompts(template: Template) -> dict[str, str]:
    return {task: task if isinstance(template, RetrievalTemplate) else "" for task in PROMPT_TASKS}


def keep_valid_provenance(provenance: Mapping[str, Any], old: Template, new: Template) -> dict[str, Any]:
    """Return the part of the provenance that is still true with another template."""
    kept = {name: how for name, how in provenance.items() if name != "demonstrations" or new == old}
    same = new.with_demonstrations(()) == old.with_demonstrations(())
    return kept if same else {**kept, "template": "given"}
