"""The loss is the paper's formula, and caching its gradients changes none of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from prompteol import PromptEOL
from prompteol.prompts import PromptTemplate, RetrievalTemplate
from prompteol.training import Recipe, train
from prompteol.training.losses import contrastive_loss


def paper(anchors, positives, negatives, temperature):
    """l_i = -log exp(cos(h_i, h_i+)/t) / sum_j [exp(cos(h_i, h_j+)/t) + exp(cos(h_i, h_j-)/t)], its mean over i."""

    def cosine(a, b):
        return float(np.dot(a, b) / np.sqrt(np.dot(a, a) * np.dot(b, b)))

    total = 0.0
    for i, anchor in enumerate(anchors):
        others = [np.exp(cosine(anchor, other) / temperature) for other in [*positives, *negatives]]
        total -= np.log(np.exp(cosine(anchor, positives[i]) / temperature) / sum(others))
    return total / len(anchors)


@pytest.fixture(params=[(), "prompt-ensemble"], ids=["one-prompt", "two-prompts"])
def model(tiny, request):
    """Of two prompts a text is one row all the same: losses put columns together and take rows apart."""
    model = PromptEOL(tiny("llama"), technique=request.param, device="cpu")
    return model.train()


def features(model, triplets, rows=6):
    return [model.preprocess(list(column[:rows])) for column in triplets.columns.values()]


@pytest.mark.parametrize("mini", [None, 2], ids=["plain", "cached"])
def test_the_loss_is_the_formula(model, triplets, mini):
    recipe = Recipe(temperature=0.1, mini_batch_size=mini)
    got = contrastive_loss(model, recipe)(features(model, triplets), None).item()
    vectors = [model.encode(list(column[:6])).astype(np.float64) for column in triplets.columns.values()]
    assert abs(got - paper(*vectors, 0.1)) < 1e-6 * max(1.0, got)


def gradients(model, triplets, recipe):
    model.zero_grad()
    torch.manual_seed(7)
    contrastive_loss(model, recipe)(features(model, triplets), None).backward()
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])


def test_cached_gradients_are_the_plain_ones(model, triplets):
    plain = gradients(model, triplets, Recipe())
    cached = gradients(model, triplets, Recipe(mini_batch_size=2))
    assert plain.abs().max() > 1e-3
    assert (plain - cached).abs().max() < 1e-5 * plain.abs().max()
    other = gradients(model, triplets, replace(Recipe(), temperature=0.06))
    assert (plain - other).abs().max() > 1e-2 * plain.abs().max()


@pytest.mark.parametrize("mini", [None, 4], ids=["plain", "cached"])
def test_a_pair_of_templates_is_trained_as_a_pair(tiny, tmp_path, triplets, mini):
    """Of one batch with all rows: anchors in the query's prompt, positives and negatives in the document's."""
    query, document = (
        PromptTemplate.parse(f'The {task} "{{text}}" means in one word:"') for task in ("question", "long passage")
    )
    model = PromptEOL(tiny("llama"), template=RetrievalTemplate(query, document), device="cpu")
    rows = [list(column) for column in triplets.columns.values()]
    anchors = model.encode_query(rows[0]).astype(np.float64)
    others = [model.encode_document(column).astype(np.float64) for column in rows[1:]]
    expected = paper(anchors, *others, 0.05)
    assert abs(expected - paper(model.encode_document(rows[0]).astype(np.float64), *others, 0.05)) > 1e-2
    recipe = Recipe(lora=None, batch_size=len(triplets), mini_batch_size=mini, log_steps=1)
    done = train(model, tmp_path / "out", triplets, recipe)
    assert abs(done.curve[0].loss - expected) < 1e-4
