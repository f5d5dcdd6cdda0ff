"""Describe the prompts that tuning compares: a template and the demonstrations in front of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import count

from prompteol.prompts import (
    PROMPT_TASKS,
    TEMPLATES,
    Demonstration,
    PromptTemplate,
    RetrievalTemplate,
    resolve_template,
)

Template = PromptTemplate | RetrievalTemplate


@dataclass(frozen=True)
class Candidate:
    """Hold a prompt to try."""

    name: str  # of the template: a preset's, or its wording, with its normalization where another has the same wording
    bare: Template  # without demonstrations
    demonstrations: tuple[Demonstration, ...] = ()  # in front of it, in order

    @cached_property
    def template(self) -> Template:
        """The whole prompt."""
        return self.bare.with_demonstrations(self.demonstrations)

    @cached_property
    def key(self) -> str:
        """Sixteen hex digits that name this prompt in a file of results."""
        return hashlib.sha256(repr(self.template).encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @property
    def demonstration_text(self) -> str:
        """The demonstrations in one line, or a dash."""
        return "; ".join(f"{one.sentence} => {one.word}" for one in self.demonstrations) or "-"

    def followed_by(self, demonstration: Demonstration) -> Candidate:
        """Return this prompt with one more demonstration, next to the text."""
        return Candidate(self.name, self.bare, (*self.demonstrations, demonstration))


def named_templates(own: Template, templates: Iterable[str | Template] | None) -> Mapping[str, Template]:
    """Return the templates to compare, without demonstrations, by name; where none are given, the model's own."""
    resolved = [own] if templates is None else list(map(resolve_template, templates))
    presets = {template: name for name, template in TEMPLATES.items()}
    named: dict[str, Template] = {}
    for template in dict.fromkeys(one.with_demonstrations(()) for one in resolved):
        wording = presets.get(template, " | ".join(str(template).splitlines()))
        named[next(name for name in _names(wording, template) if name not in named)] = template
    return named


def _names(wording: str, template: Template) -> Iterator[str]:
    """Yield names for a template, from short to long, of which the first free one is taken."""
    tasks = dict.fromkeys(template.for_task(task).normalization for task in PROMPT_TASKS)
    normalized = f"{wording} ({', '.join(tasks)})"
    yield from (wording, normalized)
    yield from (f"{normalized} {number}" for number in count(2))
