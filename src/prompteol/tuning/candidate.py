"""A candidate of a search: a template and the demonstrations in front of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
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

__all__ = ["Candidate", "Template", "named_templates"]

Template = PromptTemplate | RetrievalTemplate


@dataclass(frozen=True)
class Candidate:
    """A prompt to try.

    Args:
        name: of the template: a preset's, or its wording, with its normalization where another has the same wording.
        bare: the template without demonstrations.
        demonstrations: in front of it, in order.
    """

    name: str
    bare: Template
    demonstrations: tuple[Demonstration, ...] = ()

    @cached_property
    def template(self) -> Template:
        """The whole prompt."""
        return self.bare.with_demonstrations(self.demonstrations)

    @cached_property
    def key(self) -> str:
        """Sixteen hex digits that name this prompt in a file of results."""
        return hashlib.sha256(repr(self.template).encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @property
    def shown(self) -> str:
        """The demonstrations as people read them, or a dash."""
        return "; ".join(f"{one.sentence} => {one.word}" for one in self.demonstrations) or "-"

    def followed_by(self, demonstration: Demonstration) -> Candidate:
        """Return this prompt with one more demonstration, next to the text."""
        return Candidate(self.name, self.bare, (*self.demonstrations, demonstration))


def named_templates(own: Template, wanted: Iterable[str | Template] | None) -> Mapping[str, Template]:
    """Return the templates of a search without demonstrations, by name.

    Args:
        own: the model's, which is searched where nothing else is ``wanted``.
        wanted: presets' names, strings with a slot, templates.
    """
    given: Sequence[str | Template] = [own] if wanted is None else list(wanted)
    presets = {template: name for name, template in TEMPLATES.items()}
    named: dict[str, Template] = {}
    for template in dict.fromkeys(resolve_template(one).with_demonstrations(()) for one in given):
        wording = presets.get(template, " | ".join(str(template).splitlines()))
        named[next(name for name in _names(wording, template) if name not in named)] = template
    return named


def _names(wording: str, template: Template) -> Iterator[str]:
    """Yield names for a template, of which the first that is free is taken: wording alone is not all of it."""
    yield wording
    tasks = dict.fromkeys(template.for_task(task).normalization for task in PROMPT_TASKS)
    normalized = f"{wording} ({', '.join(tasks)})"
    yield normalized
    yield from (f"{normalized} {number}" for number in count(2))
