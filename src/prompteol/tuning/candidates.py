"""Name the prompts and forward techniques to try, and count what each costs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, count
from typing import TYPE_CHECKING, NamedTuple

from prompteol.errors import SettingError
from prompteol.prompts import PROMPT_TASKS, TEMPLATES, Demonstration, RetrievalTemplate, resolve_template
from prompteol.techniques.registry import describe_technique

if TYPE_CHECKING:
    from prompteol.prompts import Template
    from prompteol.techniques import ForwardTechnique, Technique

# Prompts of average length that the engine runs both ways to verify a prefix; the longest is among them.
CHECKED_ROWS = 14


@dataclass(frozen=True)
class Candidate:
    """Hold a prompt to try, alone or under a forward technique."""

    name: str  # the template's: a preset's, or its wording, with its normalization where another has the same wording
    bare: Template  # the template without demonstrations
    demonstrations: tuple[Demonstration, ...] = ()  # in front of it, in order
    technique: ForwardTechnique | None = field(default=None, hash=False)

    @cached_property
    def template(self) -> Template:
        """The whole prompt of the model's own template."""
        return self.bare.with_demonstrations(self.demonstrations)

    @cached_property
    def prompts(self) -> tuple[Template, ...]:
        """The prompts that each text is put into: more than one under a technique that asks for more."""
        technique, template = self.technique, self.template
        if technique is None:
            return (template,)
        if isinstance(template, RetrievalTemplate):
            pairs = zip(technique.templates(template.query), technique.templates(template.document), strict=True)
            return tuple(RetrievalTemplate(query, document) for query, document in pairs)
        return tuple(technique.templates(template))

    @cached_property
    def key(self) -> str:
        """Sixteen hex digits that name this candidate in a file of results."""
        parts = repr(self.template), *([] if self.technique is None else [describe_technique(self.technique)])
        return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @property
    def demonstration_text(self) -> str:
        """The demonstrations in one line, or a dash."""
        return "; ".join(f"{one.sentence} => {one.word}" for one in self.demonstrations) or "-"

    @property
    def technique_text(self) -> str:
        """The forward technique as ``--technique`` takes it, or nothing."""
        return "" if self.technique is None else named_technique(self.technique)

    @property
    def plain(self) -> bool:
        """Whether this is a template and nothing more."""
        return not self.demonstrations and self.technique is None

    @property
    def alone(self) -> Candidate:
        """This prompt without a technique."""
        return replace(self, technique=None)

    def followed_by(self, demonstration: Demonstration) -> Candidate:
        """Return this prompt with one more demonstration, next to the text."""
        return replace(self, demonstrations=(*self.demonstrations, demonstration))

    def under(self, technique: ForwardTechnique) -> Candidate:
        """Return this prompt under a forward technique."""
        return replace(self, technique=technique)


def named_technique(technique: Technique) -> str:
    """Return a technique as ``--technique`` takes it: its name alone where its options are the defaults."""
    with suppress(TypeError, SettingError):
        if technique == type(technique).configure({}):
            return describe_technique(technique).partition(":")[0]
    return describe_technique(technique)


def distinct_candidates(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Leave out candidates that put each text into the same prompts, by the same technique, as one before them."""
    return list({(repr(one.technique), one.prompts): one for one in reversed(list(candidates))}.values())[::-1]


def named_templates(own: Template, templates: Iterable[str | Template] | None) -> Mapping[str, Template]:
    """Return the templates to compare, without demonstrations, by name; ``None`` is the model's own."""
    resolved = [own] if templates is None else list(map(resolve_template, templates))
    presets = {template: name for name, template in TEMPLATES.items()}
    named: dict[str, Template] = {}
    for template in dict.fromkeys(one.with_demonstrations(()) for one in resolved):
        wording = presets.get(template, " | ".join(str(template).splitlines()))
        tasks = dict.fromkeys(template.for_task(task).normalization for task in PROMPT_TASKS)
        normalized = f"{wording} ({', '.join(tasks)})"
        names = chain((wording, normalized), (f"{normalized} {number}" for number in count(2)))
        named[next(name for name in names if name not in named)] = template
    return named


class Cost(NamedTuple):
    """Hold what a candidate costs, in tokens, without padding."""

    authors: float  # in the authors' procedure: the whole prompts for both sentences of every pair
    per_pair: float  # here, for both sentences of a pair
    once: float  # here, before the first pair: the prefixes, and the engine's check
    passes: int = 1  # through the backbone, a text

    def per_text(self, pairs: int) -> float:
        """Return the tokens of an average text alone, in whole prompts: what a model costs that has this prompt."""
        return self.authors / pairs / 2


def total_cost(prompts: Sequence[tuple[int, int]], text_tokens: float, pairs: int) -> Cost:
    """Return the cost of a candidate from the tokens of each prompt's heads and tails, those of both texts of a pair.

    ``text_tokens`` are those of an average pair's texts.
    """
    after = sum(tails + text_tokens for _, tails in prompts)
    heads = sum(heads for heads, _ in prompts)
    once = sum(head / 2 + CHECKED_ROWS * (head + tails + text_tokens) / 2 for head, tails in prompts)
    return Cost(pairs * (heads + after), after, once, len(prompts))
