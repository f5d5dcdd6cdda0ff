"""The templates and demonstrations of the literature, by name.

Wording and figures: PromptEOL (Jiang et al., Findings of EMNLP 2024), Pretended CoT and Knowledge Enhancement (Zhang
et al., ICIC 2024), PromptReps (Zhuang et al., EMNLP 2024).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from prompteol.errors import TemplateError
from prompteol.prompts.demonstration import Demonstration
from prompteol.prompts.template import SLOT, PromptTemplate, RetrievalTemplate

__all__ = ["DEMONSTRATIONS", "PROMPTEOL", "TEMPLATES", "resolve_demonstrations", "resolve_template"]

PROMPTEOL = PromptTemplate('This sentence : "', '" means in one word:"')

TEMPLATES: Mapping[str, PromptTemplate | RetrievalTemplate] = MappingProxyType(
    {
        "prompteol": PROMPTEOL,
        "pretended-cot": PromptTemplate('After thinking step by step , this sentence : "', '" means in one word:"'),
        "knowledge-enhancement": PromptTemplate(
            "The essence of a sentence is often captured by its main subjects and actions, while descriptive terms "
            'provide additional but less central details. With this in mind , this sentence : "',
            '" means in one word:"',
        ),
        # PromptReps speaks to a chat model; here its words stand as one string, without chat markup.
        "promptreps": RetrievalTemplate(
            query=PromptTemplate(
                'Query: "',
                '". Use one word to represent the query in a retrieval task. '
                'Make sure your word is in lowercase. The word is: "',
                normalization="plain",
            ),
            document=PromptTemplate(
                'Passage: "',
                '". Use one word to represent the passage in a retrieval task. '
                'Make sure your word is in lowercase. The word is: "',
                normalization="plain",
            ),
        ),
        # The paper's "prompt" baseline, without the one-word limit.
        "prompt": PromptTemplate('This sentence : "', '" means'),
    }
)

# The best of the paper's 300 demonstrations for each OPT, chosen there by Spearman on STS-B dev.
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


def resolve_template(template: str | PromptTemplate | RetrievalTemplate) -> PromptTemplate | RetrievalTemplate:
    """Return the template behind a preset's name, a string with a slot, or a template.

    Raises:
        TemplateError: neither a preset's name nor a string with one slot.
    """
    if isinstance(template, (PromptTemplate, RetrievalTemplate)):
        return template
    if not isinstance(template, str):
        raise TemplateError(f"template={template!r} is {type(template).__name__}: give a name, a string or a template")
    if template in TEMPLATES:
        return TEMPLATES[template]
    if SLOT not in template and " " not in template and "_" not in template:
        raise TemplateError(f"template={template!r} is no preset ({', '.join(TEMPLATES)}) and has no {SLOT} slot")
    return PromptTemplate.parse(template)


def resolve_demonstrations(
    demonstrations: str | Iterable[str | Demonstration | tuple[str, str]],
) -> tuple[Demonstration, ...]:
    """Return demonstrations from a preset's name, ``"sentence=>word"`` strings, pairs, or demonstrations.

    Raises:
        TemplateError: no such preset, or a demonstration that cannot be used.
    """
    if isinstance(demonstrations, str):
        if demonstrations in DEMONSTRATIONS:
            return (DEMONSTRATIONS[demonstrations],)
        if "=>" in demonstrations:
            return (Demonstration.parse(demonstrations),)
        raise TemplateError(
            f'demonstrations={demonstrations!r} is no preset ({", ".join(DEMONSTRATIONS)}) and no "sentence=>word"'
        )
    return tuple(_demonstration(item) for item in demonstrations)


def _demonstration(item: str | Demonstration | tuple[str, str]) -> Demonstration:
    if isinstance(item, Demonstration):
        return item
    if isinstance(item, str):
        return Demonstration.parse(item)
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise TemplateError(f"demonstration {item!r} is no (sentence, word) pair")
    return Demonstration(*item)
