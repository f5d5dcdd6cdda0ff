"""The texts that the default model learns from, each with its source; see README.md for their licences."""

from __future__ import annotations

import csv
import hashlib
import lzma
import random
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import grammar
import wordnet
from wordfreq import top_n_list

# Most sentences from one source: about as many of everyday language as of stories.
QUOTA = {"novels": 90_000, "movie_reviews": 45_000, "masc": 30_000, "speeches": 15_000, "genesis": 2_500,
         "glosses": 120_000, "examples": 50_000, "nli": 60_000, "recombined": 150_000, "captions": 60_000,
         "headlines": 90_000, "questions": 50_000, "words": 25_000}  # fmt: skip

_WORDS = range(3, 33)
_LONGEST = 260
# Of running text, as far as there is so much of it; the rest is novels.
_RUNNING_SHARE = {"movie_reviews": 0.2, "masc": 0.15, "speeches": 0.08, "dictionary": 0.12}
# Of novels: the first part is for training, the rest to measure perplexity on.
_TRAINING_SHARE = 0.98


def sentences(data: Path, wordnet_folder: Path, excluded: set[str], seed: int = 0) -> Iterator[tuple[str, str]]:
    """Yield (source, text), every text once, none of which is an evaluation sentence.

    Args:
        data: holds ``text/*.txt.xz`` and ``train/nli_triplets.csv``.
        wordnet_folder: holds WordNet's ``data.noun`` and so on.
        excluded: keys of :func:`key`.
        seed: of every choice.
    """
    rng = random.Random(seed)  # noqa: S311
    seen = set(excluded)
    for source, texts in _sources(data, wordnet.read(wordnet_folder), rng):
        wanted = (text for text in map(_tidy, texts) if _fits(text, source))
        fresh = (text for text in wanted if key(text) not in seen and not seen.add(key(text)))  # type: ignore[func-returns-value]
        for text in islice(fresh, QUOTA[source]):
            yield source, text


def running_text(
    data: Path, wordnet_folder: Path, count: int, words: int, excluded: set[str], seed: int = 0
) -> tuple[list[str], list[str]]:
    """Return about ``count`` stretches of English to learn from, and the last part of the novels to measure on.

    A stretch is lines that follow one another, as many as it takes to have so many ``words``. None holds an evaluation
    sentence.

    Args:
        data: as for :func:`sentences`.
        wordnet_folder: the same.
        count: of stretches.
        words: in a stretch at least.
        excluded: keys of :func:`key`.
        seed: of every choice.
    """
    rng = random.Random(seed)  # noqa: S311
    novels = _lines(data, "novels")
    cut = int(len(novels) * _TRAINING_SHARE)
    sources = {
        "movie_reviews": map(_tidy, _lines(data, "movie_reviews")),
        "masc": map(_tidy, _lines(data, "masc_tagged")),
        "speeches": [*_lines(data, "state_union"), *_lines(data, "inaugural")],
        "dictionary": _entries(_shuffled(wordnet.read(wordnet_folder).entries, rng), excluded),
    }
    others = {name: list(_stretches(lines, words, excluded)) for name, lines in sources.items()}
    wanted = {name: min(len(others[name]), round(count * share)) for name, share in _RUNNING_SHARE.items()}
    of_novels = list(_stretches(novels[:cut], words, excluded))
    found = rng.sample(of_novels, min(len(of_novels), count - sum(wanted.values())))
    for name, number in wanted.items():
        found += rng.sample(others[name], number)
    return _shuffled(found, rng), list(_stretches(novels[cut:], words, excluded))


def _entries(entries: Iterable[tuple[str, ...]], excluded: set[str]) -> Iterator[str]:
    """Print entries as a dictionary does, but those of which a gloss or an example is an evaluation sentence."""
    for word, *texts in entries:
        if not any(key(part) in excluded for text in texts for part in (text, *text.split(";"))):
            yield f"{word}: {'. '.join(texts)}."


def _stretches(lines: Iterable[str], words: int, excluded: set[str]) -> Iterator[str]:
    stretch: list[str] = []
    for line in lines:
        if key(line) in excluded:
            continue
        stretch += line.split()
        if len(stretch) >= words:
            text = " ".join(stretch)
            # A line may hold several sentences, and a sentence may have been broken over lines.
            if not any(key(part) in excluded for part in re.split(r"(?<=[.!?;:])\s+", text)):
                yield text
            stretch = []


def key(text: str) -> str:
    """Return what makes two texts the same sentence: letters and digits, without case."""
    plain = re.sub(r"[^0-9a-z]+", " ", text.casefold()).strip()
    return hashlib.sha1(plain.encode(), usedforsecurity=False).hexdigest()[:16]


def _sources(data: Path, dictionary: wordnet.WordNet, rng: random.Random) -> Iterator[tuple[str, Iterable[str]]]:
    with (data / "train" / "nli_triplets.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if not row["source"].startswith("sick")]
    nli = [_tidy(row[column]) for row in rows for column in ("sent0", "sent1", "hard_neg")]
    yield "nli", nli
    yield "masc", _shuffled(_lines(data, "masc_tagged"), rng)
    yield "speeches", _shuffled(_split([*_lines(data, "state_union"), *_lines(data, "inaugural")]), rng)
    yield "movie_reviews", _shuffled(_lines(data, "movie_reviews"), rng)
    novels = _lines(data, "novels")
    yield "novels", _shuffled(_split(rng.sample(novels[: int(len(novels) * _TRAINING_SHARE)], 60_000)), rng)
    yield "genesis", _shuffled(_split([" ".join(_lines(data, "genesis"))]), rng)
    yield "glosses", dictionary.glosses
    yield "examples", dictionary.examples
    yield "words", top_n_list("en", 40_000)
    yield "recombined", grammar.recombined(nli, rng)
    for name in ("captions", "headlines", "questions"):
        yield name, getattr(grammar, name)(dictionary.words, rng)


def _lines(data: Path, name: str) -> list[str]:
    with lzma.open(data / "text" / f"{name}.txt.xz", "rt", encoding="utf-8") as file:
        return [line.strip() for line in file if line.strip()]


def _split(lines: Iterable[str]) -> list[str]:
    return [text for line in lines for text in re.split(r"(?<=[.!?])[\"']?\s+(?=[\"'A-Z])", line)]


def _shuffled(texts: list[Any], rng: random.Random) -> list[Any]:
    return rng.sample(texts, len(texts))


def _tidy(text: str) -> str:
    """Undo tokenisation: no blank before punctuation, within clitics or inside quotation marks and brackets."""
    text = re.sub(r"\s+", " ", text.replace("``", '"').replace("''", '"')).strip()
    text = re.sub(r" ([.,!?;:%)\]]|n't\b|'(?:s|re|ve|ll|d|m)\b)", r"\1", text)
    text = re.sub(r"([(\[$]) ", r"\1", text)
    return re.sub(r'" ([^"]*?) "', r'"\1"', text)


def _fits(text: str, source: str) -> bool:
    if source == "words":
        return text.isalpha() and len(text) > 1
    shortest = 2 if source in ("glosses", "examples") else _WORDS.start
    return shortest <= len(text.split()) < _WORDS.stop and len(text) <= _LONGEST and text.isprintable()
