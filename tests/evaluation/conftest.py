"""A SentEval folder with all fourteen tasks, small, and an encoder whose vectors are known."""

import hashlib
import itertools
import random
from pathlib import Path

import numpy as np
import pytest

from prompteol.evaluation.sources import _SUBSETS

_NOUNS = ["man", "woman", "dog", "cat", "guitar", "horse", "river", "engine", "senator", "market", "planet", "doctor"]
_VERBS = ["plays", "rides", "sees", "builds", "sells", "paints", "repairs", "follows"]
_GOOD = ["lovely", "bright", "splendid", "moving", "clever", "warm"]
_BAD = ["dull", "clumsy", "noisy", "tedious", "bleak", "stale"]
_QUESTIONS = {
    "ABBR": "what does the abbreviation stand for",
    "DESC": "why would anybody describe",
    "ENTY": "what color is",
    "HUM": "who met",
    "LOC": "where is",
    "NUM": "how many people saw",
}


class BagOfWords:
    """Embed a sentence as the sum of one fixed random vector a word; counts what it is asked."""

    def __init__(self, dimensions: int = 24) -> None:
        self.dimensions = dimensions
        self.asked: list[str] = []

    def encode(self, sentences, batch_size=32, show_progress_bar=None):
        self.asked += sentences
        return np.array([self.vector(sentence) for sentence in sentences], dtype=np.float32)

    def vector(self, sentence: str) -> np.ndarray:
        total = np.zeros(self.dimensions)
        for word in sentence.split():
            seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big")
            total += np.random.default_rng(seed).normal(size=self.dimensions)
        return total


@pytest.fixture
def encoder() -> BagOfWords:
    return BagOfWords()


def _sentence(chance: random.Random, words: list[str] | None = None) -> str:
    extra = f" {chance.choice(words)}" if words else ""
    return (
        f"the{extra} {chance.choice(_NOUNS)} {chance.choice(_VERBS)} a {chance.choice(_NOUNS)} {chance.randrange(40)} ."
    )


def _pairs(chance: random.Random, count: int) -> list[tuple[str, str, float]]:
    rows = []
    for number in range(count):
        first = _sentence(chance)
        second = first if number % 4 == 0 else _sentence(chance)
        shared = len(set(first.split()) & set(second.split())) / 7
        rows.append((first, second, round(min(5, max(0, 5 * shared + chance.uniform(-0.4, 0.4))), 3)))
    return rows


def _write(path: Path, lines: list[str], encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding=encoding, newline="\n")


def make_senteval(folder: Path) -> Path:
    chance = random.Random(7)
    for task, subsets in _SUBSETS.items():
        for subset in subsets:
            rows = _pairs(chance, 24)
            gold = [f"{score}" for *_, score in rows]
            if task in ("STS15", "STS16"):
                gold[3] = gold[-1] = ""
            _write(folder / f"STS/{task}-en-test/STS.input.{subset}.txt", [f"{a}\t{b}" for a, b, _ in rows])
            _write(folder / f"STS/{task}-en-test/STS.gs.{subset}.txt", gold)
    for split in ("dev", "test"):
        lines = [f"main\tgenre\t2012\t{n}\t{s}\t{a}\t{b}\tsource" for n, (a, b, s) in enumerate(_pairs(chance, 30))]
        _write(folder / f"STS/STSBenchmark/sts-{split}.csv", lines)
    for name in ("SICK_trial", "SICK_test_annotated"):
        head = "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment"
        lines = [f"{n}\t{a}\t{b}\t{s}\tNEUTRAL" for n, (a, b, s) in enumerate(_pairs(chance, 30))]
        _write(folder / f"SICK/{name}.txt", [head, *lines])
    files = ["MR/rt-polarity.pos", "MR/rt-polarity.neg", "CR/custrev.pos", "CR/custrev.neg"]
    files += ["SUBJ/subj.objective", "SUBJ/subj.subjective", "MPQA/mpqa.pos", "MPQA/mpqa.neg"]
    for file, words in zip(files, itertools.cycle((_GOOD, _BAD)), strict=False):
        # One sentence in five speaks like the other class, so that no accuracy is 100. Only MR has the ten
        # examples a class that ten folds take.
        count = 30 if file.startswith("MR/") else 6
        _write(folder / file, [_sentence(chance, _GOOD + _BAD if n % 5 == 0 else words) for n in range(count)])
    for split, count in (("train", 60), ("dev", 20), ("test", 24)):
        rows = [(_sentence(chance, _GOOD if n % 2 else _BAD + _GOOD[:2]), n % 2) for n in range(count)]
        _write(folder / f"SST/binary/sentiment-{split}", [f"{sentence}\t{label}" for sentence, label in rows])
    for file, count in (("train_5500", 12), ("TREC_10", 4)):
        lines = [
            f"{label}:fine {start} {_sentence(chance)} {'café' if n == 0 else ''}?"
            for label, start in _QUESTIONS.items()
            for n in range(count)
        ]
        _write(folder / f"TREC/{file}.label", lines, "latin-1")
    for split, count in (("train", 60), ("test", 24)):
        head = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String"
        rows = [(int(s > 2.5), a, b) for a, b, s in _pairs(chance, count)]
        lines = [f"{label}\t{n}\t{n}\t{a}\t{b}" for n, (label, a, b) in enumerate(rows)]
        _write(folder / f"MRPC/msr_paraphrase_{split}.txt", [head, *lines])
    return folder


@pytest.fixture(scope="session")
def whole_senteval(tmp_path_factory) -> Path:
    """All tasks; not to be written to."""
    return make_senteval(tmp_path_factory.mktemp("downstream"))


@pytest.fixture
def senteval(tmp_path) -> Path:
    """All tasks, to be damaged."""
    return make_senteval(tmp_path / "downstream")
