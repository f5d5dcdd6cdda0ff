"""Check demonstrations of a set: one word, a sentence, and nothing of a template inside."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from prompteol.errors import InputError, TemplateError
from prompteol.prompts import AUTHORS_SLOT, PROMPT_TASKS, SLOT, TEMPLATES, Demonstration
from prompteol.validation import check_texts

_SLOTS = (SLOT, AUTHORS_SLOT, AUTHORS_SLOT.replace("_", " "))
# A shorter run of words, such as "means", also occurs in ordinary sentences.
_TELLING_WORDS = 3


def check_demonstration(sentence: str, word: str) -> Demonstration:
    """Make a demonstration; TemplateError where it is none, or could be taken for a piece of a template."""
    made = Demonstration(sentence, word)
    for name, value in (("sentence", made.sentence), ("word", made.word)):
        try:
            check_texts([value])
        except InputError as error:
            raise TemplateError(f"demonstration {name}: {error}") from error
        if "\0" in value:
            raise TemplateError(f"demonstration {name} {value!r} holds a NUL character, which no file of text holds")
        if len(value.splitlines()) > 1:
            raise TemplateError(f"demonstration {name} {value!r} runs over several lines; write it in one")
        piece = next((piece for piece in (*_SLOTS, *_template_text()) if _plain(piece) in _plain(value)), None)
        if piece is not None:
            raise TemplateError(
                f"demonstration {name} {value!r} holds {piece!r}, which belongs to a template: give the bare "
                "sentence and the bare word, the template is put around them"
            )
    if '"' in made.word:
        raise TemplateError(f"demonstration word {made.word!r} holds a double quote, which would end it: leave it out")
    return made


def distinct(
    demonstrations: Iterable[Demonstration], *, count: int | None = None, seed: int | None = None
) -> list[Demonstration]:
    """Return demonstrations without those whose sentence came before, in capitals or not.

    At most ``count`` of them, with a seed after a shuffle. Without one, no more are drawn than needed.
    """
    kept = _first_of_each(demonstrations)
    if seed is None:
        return list(islice(kept, count))
    shuffled = list(kept)
    random.Random(seed).shuffle(shuffled)  # noqa: S311
    return shuffled[:count]


def _first_of_each(demonstrations: Iterable[Demonstration]) -> Iterator[Demonstration]:
    seen: set[str] = set()
    for shown in demonstrations:
        key = _plain(shown.sentence).rstrip(" .")
        if key not in seen:
            seen.add(key)
            yield shown


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _template_text() -> Sequence[str]:
    """Return the pieces of all presets that give a template away, the longest first."""
    templates = {template.for_task(task) for template in TEMPLATES.values() for task in PROMPT_TASKS}
    known = {_telling(part) for template in templates for part in (template.prefix, template.suffix)}
    return sorted(known, key=lambda piece: (-len(piece), piece))


def _telling(part: str) -> str:
    bare = part.strip().strip('"').strip()
    return bare if len(bare.split()) >= _TELLING_WORDS else part.strip()
