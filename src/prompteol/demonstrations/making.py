"""Make demonstrations: from definitions, from sentences whose word a model chooses, or anybody else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from prompteol.demonstrations.checking import check_demonstration, distinct
from prompteol.errors import InputError, TemplateError
from prompteol.prompts import PROMPTEOL, Demonstration

__all__ = ["demonstrations_from_definitions", "demonstrations_from_model", "demonstrations_from_sentences"]

# A model's first word may be a piece of one, or a mark; the next ones are often better.
_WORDS_ASKED = 10


class NextWordModel(Protocol):
    """What :func:`demonstrations_from_model` needs of a model; ``PromptEOL`` has it."""

    def words(self, texts: Any, k: int = 5) -> Any:
        """Return the ``k`` likeliest words of each text, each with its ``text``."""
        ...


def demonstrations_from_definitions(
    entries: Iterable[tuple[str, str]], *, count: int | None = None, seed: int | None = None
) -> list[Demonstration]:
    """Make demonstrations of dictionary entries, in the manner of the paper's 201.

    The definition becomes the sentence, with a full stop, and the headword the word, with a capital. Entries that
    cannot be used, such as headwords of two words, are passed over.

    Args:
        entries: (definition, word) pairs, from WordNet (:func:`~prompteol.demonstrations.read_wordnet`) or anywhere.
        count: at most so many; ``None``: all.
        seed: of the choice of ``count``; ``None`` takes the first ones.

    Raises:
        TemplateError: no entry can be used.
    """
    return _some(_usable((_sentence(definition), _headword(word)) for definition, word in entries), count, seed)


def demonstrations_from_model(
    sentences: Sequence[str], model: NextWordModel, *, count: int | None = None, seed: int | None = None
) -> list[Demonstration]:
    """Make demonstrations of sentences, each with the likeliest whole word that the model itself would say.

    Sentences for which none of its ten likeliest words has two letters or more are passed over.

    Args:
        sentences: of the kind that will be embedded.
        model: with a language model's head; see ``PromptEOL.words``.
        count: at most so many; ``None``: all.
        seed: of the choice of ``count``; ``None`` takes the first ones.

    Raises:
        TemplateError: no sentence can be used.
        ModelError: the model has no head.
    """
    asked = _some_sentences(sentences, seed)
    spoken = model.words(asked, k=_WORDS_ASKED)
    pairs = ((text, _first_word([word.text for word in words])) for text, words in zip(asked, spoken, strict=True))
    return _some(_usable(pairs), count, None)


def demonstrations_from_sentences(
    sentences: Sequence[str],
    ask: Callable[[str], Any] | Any,
    *,
    count: int | None = None,
    seed: int | None = None,
) -> list[Demonstration]:
    """Make demonstrations of sentences, with the word that a callable or a LangChain chat model answers.

    The question is the paper's template, ``This sentence : "..." means in one word:"``. Of the answer the first line
    counts, without quotes and stops around it; an answer of several words is passed over.

    Args:
        sentences: of the kind that will be embedded.
        ask: called with the question, or with a method ``invoke`` that is; returns a string, or a message whose
            ``content`` is one.
        count: at most so many; nobody is asked for more. ``None``: all.
        seed: of the choice of ``count``; ``None`` takes the first ones.

    Raises:
        TemplateError: no answer can be used.
        InputError: ``ask`` is neither, or answers with something else than text.
    """
    invoke = getattr(ask, "invoke", ask)
    if not callable(invoke):
        raise InputError(f"ask={ask!r} is no callable and has no invoke method: give a function or a chat model")
    asked = _some_sentences(sentences, seed)
    pairs = ((text, _answer(invoke(PROMPTEOL.render(text)))) for text in asked)
    return _some(_usable(pairs), count, None)


def _some_sentences(sentences: Sequence[str], seed: int | None) -> list[str]:
    """Drop repeated sentences, and shuffle before anybody is asked, so that ``count`` bounds the questions."""
    texts = [" ".join(text.split()) for text in sentences if text.strip()]
    return [shown.sentence for shown in distinct((Demonstration(text, "-") for text in texts), seed=seed)]


def _some(made: Iterator[Demonstration], count: int | None, seed: int | None) -> list[Demonstration]:
    kept = distinct(made, count=count, seed=seed)
    if not kept and count != 0:
        raise TemplateError("none of these makes a demonstration: each needs a sentence and exactly one word for it")
    return kept


def _usable(pairs: Iterable[tuple[str, str]]) -> Iterator[Demonstration]:
    for sentence, word in pairs:
        try:
            yield check_demonstration(sentence, word)
        except TemplateError:
            continue


def _sentence(definition: str) -> str:
    text = " ".join(definition.split())
    return text if text.endswith((".", "!", "?")) else text + "."


def _headword(word: str) -> str:
    return word[:1].upper() + word[1:]


def _first_word(candidates: Iterable[str]) -> str:
    whole = (word.strip("\"'.,;:!?") for word in candidates)
    return next((_headword(word) for word in whole if len(word) > 1 and word.replace("-", "").isalpha()), "")


def _answer(reply: Any) -> str:
    # A message's content may be blocks, of which its text joins those that are text.
    text = reply if isinstance(reply, str) else getattr(reply, "text", getattr(reply, "content", reply))
    if not isinstance(text, str):
        raise InputError(f"the answer {text!r:.60} is {type(text).__name__}, not a string: ask for one word of text")
    lines = text.strip().splitlines()
    return _headword(lines[0].strip().strip("\"'“”.,;:!? ")) if lines else ""
