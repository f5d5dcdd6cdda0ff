"""The paper's figures: the ones that are documented, found where model, prompt and demonstration are the paper's."""

from dataclasses import replace

import pytest

from prompteol.evaluation import published_for
from prompteol.evaluation.published import PAPER_MODELS, published_scores
from prompteol.evaluation.results import ModelDescription
from prompteol.prompts import DEMONSTRATIONS

STS = ("STS12", "STS13", "STS14", "STS15", "STS16", "STS-B", "SICK-R")
PLAIN = ModelDescription(
    "facebook/opt-6.7b", 'This sentence : "{text}" means in one word:"', "paper", layer=-1, dtype="float32"
)


def shown(name):
    best = DEMONSTRATIONS[name]
    return replace(PLAIN, name=f"facebook/{name}", demonstrations=((best.sentence, best.word),))


def test_printed_averages_are_the_means_of_the_printed_scores():
    complete = [row for row in published_scores() if set(STS) <= set(row.scores)]
    assert len(complete) == 8 + 7
    for row in complete:
        assert sum(row.scores[name] for name in STS) / 7 == pytest.approx(row.average("sts"), abs=0.006)


def test_without_demonstration_only_averages_are_documented():
    plain = [row for row in published_scores() if row.method == "plain"]
    assert len(plain) == 8
    assert {name for row in plain for name in row.scores} == {"sts average", "transfer average"}


def test_every_row_has_a_source_and_a_model():
    assert all(row.source and row.model in PAPER_MODELS for row in published_scores())


@pytest.mark.parametrize(
    ("model", "method", "average"),
    [
        (PLAIN, "plain", 72.10),
        (replace(PLAIN, name="/models/OPT-125M/"), "plain", 67.00),
        (shown("opt-1.3b"), "in-context", 77.52),
        (shown("opt-66b"), "in-context", 78.19),
        (replace(PLAIN, name="royokong/prompteol-llama-13b"), "fine-tuned", 85.85),
    ],
)
def test_found(model, method, average):
    row = published_for(model)
    assert (row.method, row.average("sts")) == (method, average)


@pytest.mark.parametrize(
    "model",
    [
        replace(PLAIN, template='Another sentence : "{text}" means in one word:"'),
        replace(PLAIN, normalization="none"),
        replace(PLAIN, layer=-2),
        replace(PLAIN, demonstrations=(("A man is smoking.", "Smoking"),)),
        replace(PLAIN, name="huggyllama/llama-7b"),
        ModelDescription("facebook/opt-6.7b"),
    ],
    ids=["template", "normalization", "layer", "another size's demonstration", "no figure", "another encoder"],
)
def test_not_found(model):
    assert published_for(model) is None


def test_sizes_are_those_of_the_names():
    for name, model in PAPER_MODELS.items():
        size = name.rpartition("-")[2]
        stated = float(size[:-1]) * {"m": 1e6, "b": 1e9}[size[-1]]
        assert model.parameters == pytest.approx(stated, rel=0.09)
