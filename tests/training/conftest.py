"""Rows to train on, pairs to choose by, and a tiny training that takes a second."""

import logging

import pytest
import torch

from prompteol.data import ScoredPairs, TrainingExamples
from prompteol.training import Lora, Recipe, train

SUBJECTS = ("man", "woman", "dog", "cat", "boy", "girl", "child", "player")
ACTIONS = ("sings", "runs", "cooks", "reads", "sleeps", "swims", "paints", "waits")


@pytest.fixture(scope="session")
def triplets() -> TrainingExamples:
    anchors = [f"A {subject} {action}." for subject in SUBJECTS for action in ACTIONS]
    positives = [f"The {subject} {action} here." for subject in SUBJECTS for action in ACTIONS]
    negatives = [f"No {subject} {action} now." for subject in SUBJECTS for action in ACTIONS]
    return TrainingExamples({"anchor": anchors, "positive": positives, "negative": negatives}, "triplets", "CC0")


@pytest.fixture(scope="session")
def texts(triplets) -> TrainingExamples:
    return TrainingExamples({"text": triplets.columns["anchor"]}, "texts")


@pytest.fixture(scope="session")
def dev() -> ScoredPairs:
    first = [f"The {subject} {action}." for subject in SUBJECTS[:4] for action in ACTIONS[:6]]
    second = [f"A {subject} {action}." for action in ACTIONS[:6] for subject in SUBJECTS[:4]]
    scores = [
        sum(a == b for a, b in zip(one.split(), two.split(), strict=True))
        for one, two in zip(first, second, strict=True)
    ]
    return ScoredPairs(first, second, scores, "dev")


@pytest.fixture(scope="session")
def quick() -> Recipe:
    """A recipe of eight steps."""
    return Recipe(
        lora=Lora(rank=4, quantize=False),
        learning_rate=5e-3,
        warmup_steps=2,
        batch_size=16,
        epochs=2,
        eval_steps=3,
        log_steps=1,
    )


@pytest.fixture(scope="session")
def adapter(tiny, tmp_path_factory, triplets, dev, quick):
    """A finished training of an adapter."""
    return train(tiny("llama"), tmp_path_factory.mktemp("training") / "adapter", triplets, quick, dev=dev, device="cpu")


@pytest.fixture(autouse=True)
def own_random_state():
    """Training seeds the global generators; other tests must not notice."""
    with torch.random.fork_rng(devices=[]):
        yield
    logging.getLogger("transformers").setLevel(logging.WARNING)
