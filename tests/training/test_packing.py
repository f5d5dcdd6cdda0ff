"""Trained on packed rows a model becomes what it becomes on padded ones, and is as plain afterwards."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("peft")

from prompteol import PromptEOL
from prompteol.errors import TrainingError
from prompteol.inference import TrainingEngine
from prompteol.prompts import PromptTemplate, RetrievalTemplate
from prompteol.training import Lora, contrastive_loss, packed_rows, train

LORA = Lora(rank=4, dropout=0.0, quantize=False)
SHOWN = [("A jockey riding a horse.", "Equestrian")]


@pytest.fixture
def packed(monkeypatch):
    """Count the rows that are asked for packed, and those that took the reference forward all the same."""
    counted = {"rows": 0, "engines": []}
    states = TrainingEngine.layer_states

    def counting(self, rows, layers, **options):
        counted["rows"] += len(rows)
        counted["engines"].append(self)
        return states(self, rows, layers, **options)

    monkeypatch.setattr(TrainingEngine, "layer_states", counting)
    return counted


def losses(done):
    return np.array([point.loss for point in done.curve if point.loss is not None])


@pytest.mark.parametrize(
    ("architecture", "changes", "arguments"),
    [
        ("llama", {"lora": LORA}, {}),
        ("llama", {"lora": LORA, "mini_batch_size": 6}, {}),
        ("gpt2", {"lora": None, "learning_rate": 1e-3}, {"gradient_accumulation_steps": 2}),
        ("opt", {"lora": None, "learning_rate": 1e-3, "mini_batch_size": 4}, {}),
        ("qwen2", {"lora": LORA, "objective": "distillation"}, {}),
    ],
)
def test_one_curve(tiny, tmp_path, triplets, texts, dev, quick, packed, architecture, changes, arguments):
    options = {"demonstrations": SHOWN, "device": "cpu", "arguments": arguments}
    rows = triplets
    if changes.get("objective") == "distillation":
        rows, options["teacher"] = texts, np.random.default_rng(0).normal(size=(len(texts), 20))
    base = tiny("opt", dropout=0.0) if architecture == "opt" else tiny(architecture)
    if architecture == "gpt2":
        base = tiny("gpt2", attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0)
    ends = []
    for packing in (None, False):
        recipe = replace(quick, **changes, packing=packing)
        ends.append(train(base, tmp_path / str(packing), rows, recipe, dev=dev, **options))
    assert packed["rows"] >= sum(map(len, rows.columns.values()))
    assert all(engine.counters.stock_tokens == 0 for engine in packed["engines"])
    ours, theirs = map(losses, ends)
    assert ours[0] - ours[-1] > 0.01
    assert np.abs(ours - theirs).max() < 1e-4
    vectors = [done.model.encode(dev.first) for done in ends]
    assert np.abs(vectors[0] - vectors[1]).max() < 1e-3 * np.abs(vectors[1]).max()


def test_a_pair_of_templates_has_two_heads(tiny, tmp_path, triplets, quick, packed):
    pair = [PromptTemplate.parse(f'The {kind} "{{text}}" means in one word:"') for kind in ("question", "long passage")]
    options = {"template": RetrievalTemplate(*pair), "device": "cpu"}
    ends = [
        train(tiny("llama"), tmp_path / str(p), triplets, replace(quick, lora=LORA, packing=p), **options)
        for p in (True, False)
    ]
    (engine, *_) = packed["engines"]
    assert len(engine.heads) == 2
    assert engine.counters.stock_tokens == 0
    assert np.abs(losses(ends[0]) - losses(ends[1])).max() < 1e-4


@pytest.mark.parametrize("technique", [(), "prompt-ensemble"], ids=["one-prompt", "two-prompts"])
def test_gradients_of_a_loss(tiny, triplets, quick, technique):
    model = PromptEOL(tiny("llama"), technique=technique, device="cpu").train()
    features = [model.preprocess(list(column[:6])) for column in triplets.columns.values()]
    loss = contrastive_loss(model, quick)

    def gradients():
        model.zero_grad()
        loss([dict(one) for one in features], None).backward()
        return torch.cat([part.grad.flatten() for part in model.parameters() if part.grad is not None])

    padded = gradients()
    with packed_rows(model) as engine:
        ours = gradients()
    assert engine.counters.text_tokens > 0
    assert engine.counters.stock_tokens == 0
    assert (ours - padded).abs().max() < 1e-5 * padded.abs().max()
    assert torch.equal(gradients(), padded)


@pytest.mark.parametrize("case", ["unsupervised", "own loss", "stock", "asked"])
def test_where_rows_are_packed(tiny, tmp_path, triplets, texts, quick, packed, case):
    recipe = replace(quick, epochs=0.5)
    options = {"device": "cpu"}
    if case == "own loss":
        options["loss"] = lambda model, _, recipe: contrastive_loss(model, recipe)
    elif case == "stock":
        options["engine"] = "stock"
    else:
        recipe = replace(recipe, objective="unsupervised", packing=True if case == "asked" else None)
    train(tiny("llama"), tmp_path / "out", triplets if case in ("own loss", "stock") else texts, recipe, **options)
    assert bool(packed["rows"]) == (case == "asked")


def test_dropout_stays_on_and_the_model_is_plain_afterwards(tiny, tmp_path, triplets, quick, packed):
    model = PromptEOL(tiny("opt"), device="cpu")
    assert quick.lora.dropout > 0
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        done = train(model, tmp_path / "out", triplets, quick)
    assert packed["engines"][0].counters.stock_tokens == 0
    assert model.module.training_engine is None
    saved = PromptEOL(done.output, device="cpu")
    texts = triplets.columns["anchor"][:8]
    np.testing.assert_allclose(model.encode(texts), saved.encode(texts), atol=1e-6)


def test_a_training_that_fails_leaves_the_model_plain(tiny, tmp_path, triplets, quick):
    model = PromptEOL(tiny("llama"), device="cpu")
    with pytest.raises(TrainingError, match="step"):
        train(model, tmp_path / "out", triplets, replace(quick, lora=None, learning_rate=1e20))
    assert model.module.training_engine is None


def test_a_backbone_that_cannot_be_packed_is_trained_with_one_warning(tiny, tmp_path, triplets, quick, monkeypatch):
    def broken(self, *_, **__):
        raise ValueError("no such kernel")

    monkeypatch.setattr("prompteol.inference.attention.GroupedAttention.__call__", broken)
    recipe = replace(quick, epochs=0.5)
    with pytest.warns(RuntimeWarning, match="reference forward is used instead") as seen:
        train(tiny("llama"), tmp_path / "out", triplets, recipe, device="cpu", callbacks=[])
    ours = [str(one.message) for one in seen if "reference forward" in str(one.message)]
    # One of the training, one of the evaluation.
    assert len(ours) <= 2
