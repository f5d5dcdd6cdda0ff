"""Pairs made of a few words, and demonstrations, small enough for a search in a second."""

import random

import pytest

from prompteol import Demonstration, PromptEOL, tune_prompt
from prompteol.data import ScoredPairs

NOUNS = ["man", "woman", "dog", "cat", "child", "bird", "horse", "boy", "girl", "cook"]
VERBS = ["sings", "runs", "eats", "sleeps", "jumps", "plays", "reads", "swims"]
PLACES = ["in the park", "on the mat", "by the sea", "at home", "in the snow", "near the mill"]


def sentences(count, seed):
    draw = random.Random(seed)
    return [f"A {draw.choice(NOUNS)} {draw.choice(VERBS)} {draw.choice(PLACES)}." for _ in range(count)]


@pytest.fixture(scope="session")
def pairs():
    """200 pairs, scored by the words they share: four rounds of halving."""
    first, second = sentences(200, 1), sentences(200, 2)
    shared = [len(set(one.split()) & set(other.split())) for one, other in zip(first, second, strict=True)]
    return ScoredPairs(first, second, [float(count) for count in shared], "made.tsv")


@pytest.fixture(scope="session")
def positives():
    first, second = sentences(200, 1), sentences(200, 3)
    return ScoredPairs(first, [f"{one} {other}" for one, other in zip(first, second, strict=True)], None, "anchors.tsv")


@pytest.fixture(scope="session")
def shots():
    return [Demonstration(text, word.title()) for text, word in zip(sentences(12, 5), NOUNS + VERBS, strict=False)]


@pytest.fixture
def model(tiny):
    return PromptEOL(tiny("llama", layers=2), device="cpu")


@pytest.fixture(scope="session")
def tune():
    """``tune_prompt`` without techniques, where none is given."""

    def run(*arguments, **options):
        return tune_prompt(*arguments, **{"techniques": (), **options})

    return run
