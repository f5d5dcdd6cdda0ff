"""Gradients through packs are those of padded rows: every architecture, all weights and adapters, any mix of rows."""

import warnings

import pytest
import torch
from transformers import AutoModel

from prompteol.inference import SharedPrefixEngine, TrainingEngine
from prompteol.inference.attention import GroupedAttention
from prompteol.inference.context import ForwardContext
from prompteol.inference.reference_forward import reference_states

OPTIONS = {"r": 4, "target_modules": "all-linear", "lora_dropout": 0.0, "init_lora_weights": False}


def gradients(backbone, compute, layers=(-1,)):
    """Return the gradients of a sum of all states in which no two entries weigh alike."""
    backbone.zero_grad()
    total = 0
    for states in compute(list(layers)):
        total = total + (states * torch.arange(1, states.numel() + 1).cos().view_as(states)).sum()
    total.backward()
    return {name: part.grad.clone() for name, part in backbone.named_parameters() if part.grad is not None}


def apart(ours, theirs):
    """Return the largest difference of two sets of gradients, relative to the largest entry."""
    assert ours.keys() == theirs.keys()
    largest = max(float(gradient.abs().max()) for gradient in theirs.values())
    return max(float((ours[name] - theirs[name]).abs().max()) for name in theirs) / largest


def both(backbone, rows, heads, layers=(-1,), **options):
    engine = TrainingEngine(backbone, heads, **options)
    ours = gradients(backbone, lambda layers: engine.layer_states(rows, layers), layers)
    return apart(ours, gradients(backbone, lambda layers: reference_states(backbone, rows, layers), layers)), engine


def without_dropout(backbone):
    backbone.train()
    for module in backbone.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        # Functional dropout reads an attribute: attention_dropout, residual_dropout, activation_dropout...
        for name, value in vars(module).items():
            if "dropout" in name and isinstance(value, float):
                setattr(module, name, 0.0)
    return backbone


def test_gradients_of_every_architecture(fast_backbone, rows, prefix):
    difference, engine = both(without_dropout(fast_backbone), rows, [prefix])
    assert difference < 1e-5
    assert engine.counters.stock_tokens == 0
    shared = sum(row[: len(prefix)] == prefix and len(row) > len(prefix) for row in rows)
    assert engine.counters.text_tokens == sum(map(len, rows)) - len(prefix) * shared


@pytest.mark.parametrize("layers", [(-3,), (-1, -2)], ids=str)
@pytest.mark.parametrize("name", ["gemma2", "gpt2", "opt"])
def test_gradients_of_other_layers(backbone, name, layers, rows, prefix):
    difference, engine = both(without_dropout(backbone(name)), rows, [prefix], layers)
    assert difference < 1e-5
    assert engine.counters.stock_tokens == 0


@pytest.mark.parametrize("name", ["gemma2", "gpt2", "llama", "opt"])
def test_gradients_of_an_adapter(backbone, name, rows, prefix):
    peft = pytest.importorskip("peft")
    model = backbone(name)
    model.requires_grad_(False)
    model.add_adapter(peft.LoraConfig(**OPTIONS, fan_in_fan_out=name == "gpt2"))
    difference, engine = both(without_dropout(model), rows, [prefix])
    assert difference < 1e-5
    assert engine.counters.stock_tokens == 0


@pytest.mark.parametrize("budget", [1, 20, 10_000])
def test_gradients_over_many_packs_and_several_heads(backbone, rows, prefix, budget):
    model = without_dropout(backbone("llama"))
    other = [*prefix[:4], 7, 8]
    mixed = [*rows, *([*other, *row[-3:]] for row in rows), rows[0], rows[0]]
    difference, engine = both(model, mixed, [prefix, other], token_budget=budget)
    assert difference < 1e-5
    assert engine.counters.stock_tokens == 0


def test_a_training_takes_the_same_steps(backbone, rows, prefix):
    ends = []
    for packed in (True, False):
        model = without_dropout(backbone("gpt2"))
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        engine = TrainingEngine(model, [prefix])
        curve = []
        for _ in range(6):
            (states,) = engine.layer_states(rows, [-1]) if packed else reference_states(model, rows, [-1])
            loss = torch.nn.functional.cosine_similarity(states, states.roll(1, 0)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            curve.append(float(loss.detach()))
        ends.append(torch.tensor(curve))
    assert ends[0][0] - ends[0][-1] > 0.05
    assert (ends[0] - ends[1]).abs().max() < 1e-4


class Unseen(torch.autograd.Function):
    """Leave values as they are, and take from each gradient what a wrong mask takes: the part of the first token."""

    @staticmethod
    def forward(context, states):
        return states.clone()

    @staticmethod
    def backward(context, gradient):
        gradient = gradient.clone()
        gradient[:, :, 0] = 0
        return gradient


def wrong_values(monkeypatch):
    attend = GroupedAttention.__call__

    def detached(self, context, module, query, key, value, mask, **kwargs):
        return attend(self, context, module, query, key, value.detach(), mask, **kwargs)

    monkeypatch.setattr(GroupedAttention, "__call__", detached)


def wrong_mask(monkeypatch):
    attend = GroupedAttention.__call__

    def unseen(self, context, module, query, key, value, mask, **kwargs):
        return attend(self, context, module, query, Unseen.apply(key), value, mask, **kwargs)

    monkeypatch.setattr(GroupedAttention, "__call__", unseen)


def wrong_prefix(monkeypatch):
    join = ForwardContext.with_prefix

    def detached(self, module, key, value):
        if not self.prefix:
            return key, value
        keys, values = join(self, module, key, value)
        length = self.prefix_length
        return (torch.cat([part[:, :, :length].detach(), part[:, :, length:]], dim=2) for part in (keys, values))

    monkeypatch.setattr(ForwardContext, "with_prefix", detached)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2"])
@pytest.mark.parametrize("breaking", [wrong_values, wrong_mask, wrong_prefix])
def test_a_forward_with_wrong_gradients_is_refused(backbone, name, breaking, rows, prefix, monkeypatch):
    """Right states alone are not enough."""
    model = without_dropout(backbone(name))
    breaking(monkeypatch)
    with torch.inference_mode():
        engine = SharedPrefixEngine(model.eval())
        engine.last_token_states(rows, prefix=prefix)
        assert engine.counters.stock_tokens == 0
    model.train()
    with pytest.warns(RuntimeWarning, match=r"the gradient of .* differs"):
        difference, engine = both(model, rows, [prefix])
    assert difference < 1e-6
    # Rows without the prefix are right before it is found wrong.
    without = sum(len(row) for row in rows if row[: len(prefix)] != prefix or len(row) == len(prefix))
    assert engine.counters.text_tokens <= (without if breaking is wrong_prefix else 0)


def test_dropout_tells_equal_rows_apart_and_stays_on_after_the_check(backbone, rows, prefix):
    model = backbone("opt", dropout=0.2).train()
    engine = TrainingEngine(model, [prefix])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (states,) = engine.layer_states([rows[0], rows[0], *rows], [-1])
    assert engine.counters.stock_tokens == 0
    assert all(module.training for module in model.modules())
    assert (states[0] - states[1]).abs().max() > 1e-2
    (again,) = engine.layer_states([rows[0], rows[0], *rows], [-1])
    assert (states[0] - again[0]).abs().max() > 1e-2


def test_a_check_leaves_no_gradient_and_draws_nothing_at_random(backbone, rows, prefix):
    model = backbone("opt", dropout=0.2).train()
    torch.manual_seed(3)
    first = TrainingEngine(model, [prefix])
    (checked,) = first.layer_states(rows, [-1])
    assert all(part.grad is None for part in model.parameters())
    torch.manual_seed(3)
    (unchecked,) = first.layer_states(rows, [-1])
    assert torch.equal(checked, unchecked)


def test_recomputed_activations_take_padded_rows(backbone, rows, prefix):
    model = without_dropout(backbone("llama"))
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        difference, engine = both(model, rows, [prefix])
    assert difference < 1e-6
    assert engine.counters.text_tokens == 0


def test_gradients_under_autocast(backbone, rows, prefix):
    model = without_dropout(backbone("llama"))
    engine = TrainingEngine(model, [prefix])
    with torch.autocast("cpu", torch.bfloat16):
        ours = gradients(model, lambda layers: engine.layer_states(rows, layers))
    assert engine.counters.stock_tokens == 0
    exact = gradients(model, lambda layers: reference_states(model, rows, layers))
    assert apart(ours, exact) < 5e-2


def test_what_is_frozen_needs_no_gradient(backbone, rows, prefix):
    model = AutoModel.from_config(backbone("llama").config).requires_grad_(False).train()
    engine = TrainingEngine(model, [prefix])
    (states,) = engine.layer_states(rows, [-1])
    assert not states.requires_grad
    assert engine.counters.stock_tokens == 0


def test_gradients_that_are_not_finite_prove_nothing(backbone, rows, prefix):
    model = without_dropout(backbone("llama"))
    with torch.no_grad():
        model.norm.weight.fill_(1e20)
        model.layers[-1].mlp.down_proj.weight.fill_(1e37)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        engine = TrainingEngine(model, [prefix])
        engine.layer_states(rows, [-1])
    assert engine.counters.text_tokens == 0
    model = without_dropout(backbone("llama"))
    assert both(model, rows, [prefix])[0] < 1e-5
