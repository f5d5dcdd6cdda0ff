"""What a demonstration of a set must be: one word, a sentence, and nothing of a template inside."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from prompteol.errors import InputError, TemplateError
from prompteol.prompts import AUTHORS_SLOT, PROMPT_TASKS, SLOT, TEMPLATES, Demonstration, PromptTemplate
from prompteol.validation import check_texts

__all__ = ["check_demonstration", "distinct"]

_SLOTS = (SLOT, AUTHORS_SLOT, AUTHORS_SLOT.replace("_", " "))
# A shorter run of words, such as "means", also stands in ordinary sentences.
_TELLING_WORDS = 3


def check_demonstration(sentence: str, word: str) -> Demonstration:
    """Make a demonstration of a sentence and a word.

    Raises:
        TemplateError: the sentence is blank, the word is empty, more than one or quoted, or one of them holds a slot,
            a piece of a template, a line break or half a surrogate pair.
    """
    made = Demonstration(sentence, word)
    for name, value in (("sentence", made.sentence), ("word", made.word)):
        try:
            check_texts([value])
        except InputError as error:
            raise TemplateError(f"demonstration {name}: {error}") from error
        if len(value.splitlines()) > 1:
            raise TemplateError(f"demonstration {name} {value!r} runs over several lines; write it in one")
        for piece in (*_SLOTS, *_TEMPLATE_TEXT):
            if _plain(piece) in _plain(value):
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

    Args:
        demonstrations: the first of several with one sentence stays. Without a seed, no more are drawn than needed.
        count: at most so many; ``None``: all.
        seed: of a shuffle before ``count`` are taken; ``None`` keeps the order.
    """
    kept = _first_of_each(demonstrations)
    if seed is not None:
        shuffled = list(kept)
        random.Random(seed).shuffle(shuffled)  # noqa: S311
        kept = iter(shuffled)
    return list(islice(kept, count))


def _first_of_each(demonstrations: Iterable[Demonstration]) -> Iterator[Demonstration]:
    seen: set[str] = set()
    for shown in demonstrations:
        key = _plain(shown.sentence).rstrip(" .")
        if key not in seen:
            seen.add(key)
            yield shown


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _telling(template: PromptTemplate) -> Iterable[str]:
    for part in (template.prefix, template.suffix):
        bare = part.strip().strip('"').strip()
        yield bare if len(bare.split()) >= _TELLING_WORDS else part.strip()


def _template_text() -> Sequence[str]:
    known = {
        piece for template in TEMPLATES.values() for task in PROMPT_TASKS for piece in _telling(template.for_task(task))
    }
    return sorted(known, key=lambda piece: (-len(piece), piece))


_TEMPLATE_TEXT = _template_text()
