"""Whichever way a pack attends, the vectors are those of the reference forward; the fastest right way is used."""

import logging
import random

import pytest
import torch

from prompteol.errors import SettingError
from prompteol.inference import SharedPrefixEngine
from prompteol.inference import attention as kernels
from prompteol.inference.context import ForwardContext

pytestmark = [
    pytest.mark.usefixtures("without_gradients"),
    pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated"),
]

LAYERS = (-4, -1)


@pytest.fixture
def without_gradients():
    with torch.inference_mode():
        yield


def variable_length_attention(
    query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, scale=None, window_size=(-1, -1), enable_gqa=False
):
    """What torch documents for ``varlen_attn``, one text at a time: (tokens, heads, width) for each."""
    assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
    assert (cu_seq_q[-1], cu_seq_k[-1]) == (len(query), len(key))
    assert (cu_seq_q.diff().max(), cu_seq_k.diff().max()) == (max_q, max_k)
    assert window_size == (-1, 0)
    outputs = []
    for text in range(len(cu_seq_q) - 1):
        asking = query[cu_seq_q[text] : cu_seq_q[text + 1]].transpose(0, 1)
        keys, values = (part[cu_seq_k[text] : cu_seq_k[text + 1]].transpose(0, 1) for part in (key, value))
        seen = torch.ones(asking.shape[1], keys.shape[1], dtype=torch.bool).tril(keys.shape[1] - asking.shape[1])
        output = torch.nn.functional.scaled_dot_product_attention(
            asking[None], keys[None], values[None], seen, scale=scale, enable_gqa=enable_gqa
        )
        outputs.append(output[0].transpose(0, 1))
    return torch.cat(outputs)


@pytest.fixture
def kernel(monkeypatch):
    """Stand in for the variable-length kernel, which needs CUDA; the list counts its calls."""
    calls = []

    def counted(*args, **kwargs):
        calls.append(len(args[0]))
        return variable_length_attention(*args, **kwargs)

    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", counted)
    return calls


def test_every_architecture(fast_backbone, kernel, rows, prefix, ordinary, apart, recwarn):
    engine = SharedPrefixEngine(fast_backbone, attention="varlen")
    states = engine.layer_states(rows, LAYERS, prefix=prefix)
    for layer, found in zip(LAYERS, states, strict=True):
        assert apart(found, ordinary(fast_backbone, rows, layer)) < 2e-6
    lacking = {"gpt_oss", "gemma2"}
    refused = [str(warning.message) for warning in recwarn if "cannot be run" in str(warning.message)]
    assert bool(engine.counters.stock_tokens) == (fast_backbone.config.model_type in lacking) == bool(refused)
    assert all("knows neither" in reason for reason in refused)
    assert bool(kernel) == (not refused)


def test_many_texts_of_many_lengths(backbone, kernel, ordinary, apart):
    model = backbone("ministral", num_hidden_layers=2)
    chance = random.Random(1)
    prefix = [chance.randrange(3, 200) for _ in range(150)]
    rows = [[*prefix, *(chance.randrange(3, 200) for _ in range(chance.randrange(1, 40)))] for _ in range(60)]
    engine = SharedPrefixEngine(model, attention="varlen", token_budget=10_000)
    assert apart(engine.last_token_states(rows, prefix=prefix), ordinary(model, rows)) < 4e-6
    assert engine.counters.stock_tokens == 0


def test_an_attention_that_is_not_there(backbone):
    with pytest.raises(SettingError, match="attention 'fast' is none of 'auto', 'sdpa', 'varlen'"):
        SharedPrefixEngine(backbone("llama"), attention="fast")


def test_nothing_else_is_tried_on_a_cpu(backbone, kernel, many_rows, prefix):
    engine = SharedPrefixEngine(backbone("llama"), token_budget=10_000)
    engine.last_token_states(many_rows, prefix=prefix)
    assert not kernel
    assert engine.counters.checks == 1


@pytest.fixture
def many_rows(prefix):
    """Enough tokens for a pack that is worth timing."""
    return [[*prefix, *range(3, 3 + length), 9, 5, 8, first] for length in range(3, 13) for first in range(3, 30)]


class TestTiming:
    """A CPU stands in for CUDA, and a clock that we turn for the time."""

    @pytest.fixture
    def cost(self):
        """Seconds that a pack takes, by the way it attends."""
        return {"sdpa": 3.0, "eager": 9.0, "varlen": 1.0}

    @pytest.fixture
    def used(self, monkeypatch, cost):
        """Which ways of attending were used since the last call."""
        names, now, keep = set(), [0.0], ForwardContext.keep

        def kept(context, entry, states):
            names.add(context.attention.name)
            now[0] += cost[context.attention.name]
            return keep(context, entry, states)

        monkeypatch.setattr(ForwardContext, "keep", kept)
        monkeypatch.setattr("prompteol.inference.attention.time.perf_counter", lambda: now[0])
        monkeypatch.setattr(kernels, "TIMED_ON", {"cpu"})

        def ask():
            found = set(names)
            names.clear()
            return found

        return ask

    @pytest.fixture
    def engine(self, backbone):
        return SharedPrefixEngine(backbone("llama"), token_budget=10_000)

    def test_the_fastest_is_used_and_not_timed_again(self, engine, kernel, used, many_rows, prefix, ordinary, apart):
        # First: to return hidden states, transformers hooks the layers, and what is hooked is checked anew.
        expected = ordinary(engine.backbone, many_rows)
        assert apart(engine.last_token_states(many_rows, prefix=prefix), expected) < 2e-6
        assert used() == {"sdpa", "varlen"}
        checks = engine.counters.checks
        engine.last_token_states(many_rows, prefix=prefix)
        assert used() == {"varlen"}
        assert engine.counters.checks == checks
        # Other weights are checked with what is known to be fast, and nothing is timed.
        engine.backbone.double()
        engine.last_token_states(many_rows[:5], prefix=prefix)
        engine.backbone.float()
        engine.last_token_states(many_rows, prefix=prefix)
        assert used() == {"sdpa", "varlen"}
        assert engine.counters.stock_tokens == 0

    def test_the_slower_is_not_used(self, engine, cost, kernel, used, many_rows, prefix):
        cost["varlen"] = 4.0
        engine.last_token_states(many_rows, prefix=prefix)
        used()
        engine.last_token_states(many_rows, prefix=prefix)
        assert used() == {"sdpa"}
        assert engine.counters.stock_tokens == 0

    def test_small_packs_are_not_timed(self, engine, used, kernel, rows, prefix):
        engine.last_token_states(rows, prefix=prefix)
        assert not kernel

    @pytest.mark.parametrize("fault", ["wrong on large packs", "broken", "out of memory"])
    def test_what_is_wrong_or_breaks_is_left_out(
        self, engine, used, many_rows, prefix, ordinary, apart, monkeypatch, caplog, fault
    ):
        def faulty(query, *args, **kwargs):
            if fault == "broken":
                raise RuntimeError("no kernel for this device")
            if fault == "out of memory":
                raise torch.OutOfMemoryError("no room")
            return variable_length_attention(query, *args, **kwargs) * (1 if len(query) < 256 else 1.01)

        monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", faulty)
        with caplog.at_level(logging.DEBUG, "prompteol"):
            states = engine.last_token_states(many_rows, prefix=prefix)
        assert "attention varlen: " in caplog.text
        assert apart(states, ordinary(engine.backbone, many_rows)) < 2e-6
        used()
        engine.last_token_states(many_rows, prefix=prefix)
        assert used() == {"sdpa"}
        assert engine.token_budget == 10_000
        assert engine.counters.stock_tokens == 0

    @pytest.mark.parametrize("others_break", [False, True])
    def test_what_is_in_use_and_seen_to_differ_is_left(
        self, engine, used, kernel, many_rows, prefix, ordinary, apart, monkeypatch, recwarn, others_break
    ):
        keep = ForwardContext.keep

        def differs(context, entry, states):
            wrong = context.attention.name != "varlen" and len(context.lengths) > 100
            return keep(context, entry, states * (1.01 if wrong else 1))

        def broken(*args, **kwargs):
            raise RuntimeError("no kernel for this device")

        monkeypatch.setattr(ForwardContext, "keep", differs)
        if others_break:
            monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", broken)
        # First: what it hooks is checked anew.
        expected = ordinary(engine.backbone, many_rows)
        assert apart(engine.last_token_states(many_rows, prefix=prefix), expected) < 2e-6
        used()
        engine.last_token_states(many_rows, prefix=prefix)
        assert used() == ({"eager"} if others_break else {"varlen"})

    def test_what_breaks_later_makes_room_for_what_it_beat(
        self, engine, used, kernel, many_rows, prefix, ordinary, apart, monkeypatch, caplog
    ):
        engine.last_token_states(many_rows, prefix=prefix)

        def broken(*args, **kwargs):
            raise RuntimeError("too many compilations")

        monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", broken)
        states = engine.last_token_states(many_rows, prefix=prefix)
        assert "attention varlen is left out from now on: RuntimeError: too many" in caplog.text
        assert apart(states, ordinary(engine.backbone, many_rows)) < 2e-6
        used()
        reference, checks = engine.counters.stock_tokens, engine.counters.checks
        engine.last_token_states(many_rows, prefix=prefix)
        assert used() == {"sdpa"}
        assert engine.counters.checks == checks + 1
        assert engine.counters.stock_tokens == reference

    def test_the_winner_is_checked_wherever_it_has_not_run(self, engine, used, kernel, many_rows, prefix):
        engine.last_token_states(many_rows[:5], prefix=prefix, layer=-2)
        engine.last_token_states(many_rows, prefix=prefix)
        checks = engine.counters.checks
        engine.last_token_states(many_rows[:5], prefix=prefix, layer=-2)
        assert engine.counters.checks == checks + 1

    def test_where_the_winner_is_wrong_the_groups_go_on(
        self, engine, used, kernel, many_rows, prefix, ordinary, apart, monkeypatch
    ):
        engine.last_token_states(many_rows, prefix=prefix)

        def wrong(*args, **kwargs):
            return 1.01 * variable_length_attention(*args, **kwargs)

        monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", wrong)
        # No warning: it would be an error.
        states = engine.last_token_states(many_rows[:5], prefix=prefix, layer=-2)
        assert apart(states, ordinary(engine.backbone, many_rows[:5], -2)) < 2e-6
        assert engine.counters.stock_tokens == 0

    def test_an_attention_that_was_asked_for_is_not_second_guessed(self, backbone, used, kernel, many_rows, prefix):
        engine = SharedPrefixEngine(backbone("llama"), token_budget=10_000, attention="sdpa")
        engine.last_token_states(many_rows, prefix=prefix)
        assert not kernel
