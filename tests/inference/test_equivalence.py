"""A packed forward that is wrong or breaks falls back to the reference forward, with one warning."""

import warnings

import pytest
import torch
from transformers import AttentionInterface

from prompteol.inference import SharedPrefixEngine
from prompteol.inference.comparison import compare_with
from prompteol.inference.packing import TokenBudget

NAME = "prompteol_packed"

pytestmark = pytest.mark.usefixtures("without_gradients")


@pytest.fixture
def without_gradients():
    with torch.inference_mode():
        yield


@pytest.fixture
def attention():
    """Put a wrapper around our attention function for one test."""
    ours = AttentionInterface()[NAME]

    def wrap(wrapper):
        AttentionInterface.register(NAME, lambda *args, **kwargs: wrapper(ours, *args, **kwargs))

    yield wrap
    AttentionInterface.register(NAME, ours)


def slightly_wrong(ours, *args, **kwargs):
    output, weights = ours(*args, **kwargs)
    return output * 1.001, weights


def not_finite(ours, *args, **kwargs):
    output, weights = ours(*args, **kwargs)
    return output * float("nan"), weights


def broken(ours, *args, **kwargs):
    raise RuntimeError("a kernel is missing")


def with_a_mask_of_its_own(ours, module, query, key, value, mask, **kwargs):
    return ours(module, query, key, value, mask[..., 1:], **kwargs)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (slightly_wrong, "layer -1 differs by"),
        (not_finite, "differs by nan"),
        (broken, "a kernel is missing"),
        (with_a_mask_of_its_own, "a mask of its own making"),
    ],
)
def test_a_fault_means_the_reference_forward_and_one_warning(
    backbone, attention, fault, reason, rows, prefix, ordinary, apart
):
    model = backbone("opt")
    engine = SharedPrefixEngine(model)
    attention(fault)
    with pytest.warns(RuntimeWarning, match=f"OPTModel cannot be run .*{reason}"):
        states = engine.last_token_states(rows, prefix=prefix)
    # No second warning: it would be an error.
    again = engine.last_token_states(rows, prefix=prefix, layer=-2)
    assert apart(states, ordinary(model, rows)) < 2e-6
    assert apart(again, ordinary(model, rows, -2)) < 2e-6
    assert engine.counters.text_tokens == 0


def test_a_fault_that_shows_later(backbone, attention, rows, prefix, ordinary, apart):
    model = backbone("opt")
    engine = SharedPrefixEngine(model)
    engine.last_token_states(rows, prefix=prefix)
    attention(broken)
    with pytest.warns(RuntimeWarning, match="a kernel is missing"):
        states = engine.last_token_states(rows, prefix=prefix)
    again = engine.last_token_states(rows, prefix=prefix)
    assert apart(states, ordinary(model, rows)) < 2e-6
    assert torch.equal(again, states)


def test_other_weights_get_another_chance(backbone, attention, rows, prefix):
    model = backbone("opt")
    engine = SharedPrefixEngine(model)
    attention(broken)
    with pytest.warns(RuntimeWarning):
        engine.last_token_states(rows, prefix=prefix)
    attention(lambda ours, *args, **kwargs: ours(*args, **kwargs))
    model.double()
    engine.last_token_states(rows, prefix=prefix)
    assert engine.counters.text_tokens > 0


def test_rows_at_fault_do_not_cost_the_trust(backbone, rows, prefix):
    engine = SharedPrefixEngine(backbone("opt"))
    engine.last_token_states(rows, prefix=prefix)
    with pytest.raises(IndexError):
        engine.last_token_states([[*prefix, 10**6]], prefix=prefix)
    before = engine.counters.stock_tokens
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        engine.last_token_states(rows, prefix=prefix)
    assert engine.counters.stock_tokens == before


def test_rows_that_are_not_finite_prove_nothing(backbone, rows, prefix, ordinary, apart):
    model = backbone("llama")
    model.get_input_embeddings().weight.data[199] = float("nan")
    engine = SharedPrefixEngine(model)
    # No warning: it would be an error.
    assert engine.last_token_states([[*prefix, 199]], prefix=prefix).isnan().all()
    finite = [row for row in rows if 199 not in row]
    states = engine.last_token_states(finite, prefix=prefix)
    assert apart(states, ordinary(model, finite)) < 2e-6
    assert engine.counters.text_tokens > 0


@pytest.mark.parametrize(
    ("noise", "apart", "same"), [(0, 5e-6, True), (0, 7e-6, False), (2e-6, 7e-6, True), (1, 2e-5, False)]
)
def test_how_far_two_roads_may_lie_apart(noise, apart, same):
    # The reference forward itself differs by `noise` when rows run alone.
    def reference(rows):
        return [torch.ones(len(rows), 4) + (noise if len(rows) == 1 else 0)]

    comparison = compare_with(reference, [(1,), (2,), (3,)], [-1])
    assert (comparison.difference([torch.ones(3, 4) + apart]) == "") is same


def test_memory_that_runs_out_halves_the_budget_for_good(backbone, attention, rows, prefix, ordinary, apart, caplog):
    model = backbone("opt")
    engine = SharedPrefixEngine(model, token_budget=64)
    engine.last_token_states(rows[:2], prefix=prefix)
    failures = []

    def small(ours, module, query, *args, **kwargs):
        if query.shape[2] > 25:
            failures.append(query.shape[2])
            raise torch.OutOfMemoryError("no room")
        return ours(module, query, *args, **kwargs)

    attention(small)
    assert apart(engine.last_token_states(rows, prefix=prefix), ordinary(model, rows)) < 2e-6
    assert engine.token_budget <= 25
    assert "out of memory" in caplog.text
    failed = len(failures)
    assert failed
    engine.last_token_states(rows, prefix=prefix)
    assert len(failures) == failed
    assert engine.counters.stock_tokens == 0


def test_the_packs_behind_a_failed_one_are_not_lost():
    budget = TokenBudget(8)
    packs = []

    def compute(pack):
        packs.append([len(row) for row in pack])
        if sum(packs[-1]) > 5:
            raise torch.OutOfMemoryError("no room")
        return [torch.tensor([row[0] for row in pack])]

    (states,) = budget.run([(first,) * 2 for first in range(6)], compute)
    assert states.tolist() == list(range(6))
    assert packs == [[2, 2, 2], [2], [2], [2], [2], [2], [2]]
    assert budget.tokens == 3


def test_memory_that_is_too_small_for_one_row(backbone, attention, rows, prefix):
    engine = SharedPrefixEngine(backbone("opt"))
    engine.last_token_states(rows, prefix=prefix)

    def none(ours, *args, **kwargs):
        raise torch.OutOfMemoryError("no room")

    attention(none)
    with pytest.raises(torch.OutOfMemoryError):
        engine.last_token_states(rows, prefix=prefix)
