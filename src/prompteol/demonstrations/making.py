"""Make demonstrations from definitions, WordNet's or others, or from sentences and a model that finds the word."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prompteol.demonstrations.files import check_demonstration, distinct
from prompteol.errors import CorpusError, InputError, TemplateError
from prompteol.prompts import PROMPTEOL, Demonstration

if TYPE_CHECKING:
    from prompteol.sentence_transformers import PromptEOL

# A model's first word may be a piece of one, or a mark; the next ones are often better.
_CANDIDATE_WORDS = 10
_PARTS = ("noun", "verb", "adj", "adv")


def demonstrations_from_definitions(
    entries: Iterable[tuple[str, str]], *, count: int | None = None, seed: int | None = None
) -> list[Demonstration]:
    """Make demonstrations of (definition, word) pairs, in the manner of the paper's 201.

    The definition becomes the sentence, with a full stop, and the headword the word, with a capital. Entries that
    cannot be used, such as headwords of two words, are skipped; if none can be used, TemplateError is raised.

    Args:
        entries: pairs of a definition and a word, from WordNet (:func:`read_wordnet`) or elsewhere.
        count: the most demonstrations; ``None`` makes all.
        seed: the seed for choosing ``count`` of them; ``None`` takes the first ones.
    """
    return _some(((_sentence(definition), _headword(word)) for definition, word in entries), count, seed)


def demonstrations_from_model(
    sentences: Sequence[str], model: PromptEOL, *, count: int | None = None, seed: int | None = None
) -> list[Demonstration]:
    """Make demonstrations of sentences, each with the likeliest whole word that the model itself would say.

    Sentences for which none of its ten likeliest words has two letters or more are passed over. ``count`` and ``seed``
    are those of :func:`demonstrations_from_definitions`; a model without a head is a ModelError.
    """
    questioned = _some_sentences(sentences, seed)
    spoken = model.words(questioned, k=_CANDIDATE_WORDS, contrast=False)
    pairs = ((text, _first_word([word.text for word in words])) for text, words in zip(questioned, spoken, strict=True))
    return _some(pairs, count, None)


def demonstrations_from_sentences(
    sentences: Sequence[str], ask: Callable[[str], Any] | Any, *, count: int | None = None, seed: int | None = None
) -> list[Demonstration]:
    """Make demonstrations of sentences, with the word that a callable or a LangChain chat model answers.

    The question is the paper's template, ``This sentence : "..." means in one word:"``. The first line of the answer
    counts, without quotes and stops around it; an answer of several words is skipped.

    Args:
        sentences: sentences like those that will be embedded.
        ask: a function of the question, or an object whose ``invoke`` is one; it returns a string, or a message whose
            ``content`` is one.
        count: the most demonstrations; no further question is sent after them. ``None`` makes all.
        seed: the seed for choosing ``count`` of them; ``None`` takes the first ones.
    """
    invoke = getattr(ask, "invoke", ask)
    if not callable(invoke):
        raise InputError(f"ask={ask!r} is no callable and has no invoke method: give a function or a chat model")
    questioned = _some_sentences(sentences, seed)
    pairs = ((text, _answer(invoke(PROMPTEOL.render(text)))) for text in questioned)
    return _some(pairs, count, None)


def _some_sentences(sentences: Sequence[str], seed: int | None) -> list[str]:
    """Drop repeated sentences, and shuffle before any question is sent, so that ``count`` bounds the questions."""
    texts = [" ".join(text.split()) for text in sentences if text.strip()]
    return [shown.sentence for shown in distinct((Demonstration(text, "-") for text in texts), seed=seed)]


def _some(pairs: Iterable[tuple[str, str]], count: int | None, seed: int | None) -> list[Demonstration]:
    kept = distinct(_usable(pairs), count=count, seed=seed)
    if not kept and count != 0:
        raise TemplateError("none of these makes a demonstration: each needs a sentence and exactly one word for it")
    return kept


def _usable(pairs: Iterable[tuple[str, str]]) -> Iterator[Demonstration]:
    for sentence, word in pairs:
        with suppress(TemplateError):
            yield check_demonstration(sentence, word)


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


def read_wordnet(folder: str | Path, parts: tuple[str, ...] = _PARTS) -> Iterator[tuple[str, str]]:
    """Yield (definition, word) for every synset of WordNet's files ``data.noun`` and so on in a folder.

    The word is the first of the synset, a compound with blanks; examples and notes in brackets are left out of the
    definition. Debian's ``wordnet-base`` has them in ``/usr/share/wordnet``. A file that is missing or none of
    WordNet's is a CorpusError.
    """
    for part in parts:
        path = Path(folder) / f"data.{part}"
        if not path.is_file():
            raise CorpusError(f"no such file: {str(path)!r}; expected the database files of WordNet 3")
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                # The license comes first, indented.
                if not line.startswith(" "):
                    yield _entry(line, f"{str(path)!r}, line {number}")


def _entry(line: str, where: str) -> tuple[str, str]:
    fields, bar, gloss = line.partition("|")
    values = fields.split()
    # synset_offset lex_filenum ss_type w_cnt word lex_id ...: see wndb(5WN).
    if not bar or len(values) < 6:
        raise CorpusError(f"{where}: not a synset of WordNet: {line.strip()[:60]!r}")
    definition = gloss.split('; "')[0].strip().rstrip(";")
    if definition.startswith("("):
        definition = definition.partition(")")[2].strip() or definition
    return definition, values[4].partition("(")[0].replace("_", " ")
