"""The engine gives what the reference forward gives: every architecture, dtype, layer and mix of rows."""

import pytest
import torch

from prompteol.errors import InputError, LayerError
from prompteol.inference import SharedPrefixEngine

EVERY_LAYER = (-5, -4, -3, -2, -1)


@torch.inference_mode()
def test_every_layer_of_every_architecture(fast_backbone, rows, prefix, ordinary, apart, caplog):
    caplog.set_level("DEBUG", "prompteol")
    engine = SharedPrefixEngine(fast_backbone)
    states = engine.layer_states(rows, EVERY_LAYER, prefix=prefix)
    for layer, found in zip(EVERY_LAYER, states, strict=True):
        expected = ordinary(fast_backbone, rows, layer)
        assert apart(found, expected) < 2e-6
        assert apart(engine.last_token_states(rows, prefix=prefix, layer=layer), expected) < 2e-6
    assert engine.counters.stock_tokens == 0
    # The faster function serves all but those that cap their scores or have sinks, as transformers knows.
    assert ("attention sdpa" in caplog.text) != fast_backbone._supports_sdpa


# What was seen over all architectures is 1.3e-2 and 2.2e-3; two ways to pad differ as much.
@pytest.mark.parametrize(("dtype", "bound"), [(torch.bfloat16, 3e-2), (torch.float16, 5e-3)])
@torch.inference_mode()
def test_half_precision(fast_backbone, dtype, bound, rows, prefix, ordinary, apart):
    backbone = fast_backbone.to(dtype)
    engine = SharedPrefixEngine(backbone)
    states = engine.last_token_states(rows, prefix=prefix)
    assert states.dtype == dtype
    assert apart(states, ordinary(backbone, rows)) < bound
    assert engine.counters.stock_tokens == 0


@torch.inference_mode()
def test_architectures_without_the_interface_take_the_reference_forward(
    stock_only_backbone, rows, prefix, ordinary, apart
):
    engine = SharedPrefixEngine(stock_only_backbone)
    with pytest.warns(RuntimeWarning, match="reference forward is used instead"):
        states = engine.last_token_states(rows, prefix=prefix)
    # No second warning: it would be an error.
    again = engine.last_token_states(rows, prefix=prefix, layer=-3)
    assert apart(states, ordinary(stock_only_backbone, rows)) < 2e-6
    assert apart(again, ordinary(stock_only_backbone, rows, -3)) < 2e-6
    assert engine.counters.text_tokens == 0


@pytest.mark.filterwarnings("ignore:GPTJModel cannot be run")
@torch.inference_mode()
def test_an_architecture_that_changed_roads_between_releases(backbone, rows, prefix, ordinary, apart):
    model = backbone("gptj")
    engine = SharedPrefixEngine(model)
    for layer in (-1, -3):
        assert apart(engine.last_token_states(rows, prefix=prefix, layer=layer), ordinary(model, rows, layer)) < 2e-6
    assert bool(engine.counters.text_tokens) != bool(engine.counters.stock_tokens)


@pytest.mark.parametrize("name", ["llama", "mistral", "gemma2"])
@torch.inference_mode()
def test_whatever_attention_the_user_chose(backbone, name, rows, prefix, ordinary, apart):
    model = backbone(name)
    model.set_attn_implementation("eager")
    engine = SharedPrefixEngine(model)
    assert apart(engine.last_token_states(rows, prefix=prefix), ordinary(model, rows)) < 2e-6
    assert engine.counters.stock_tokens == 0


@torch.inference_mode()
def test_layers_of_different_width(backbone, rows, prefix):
    engine = SharedPrefixEngine(backbone("opt as 350m"))
    last, before = engine.layer_states(rows, [-1, -2], prefix=prefix)
    assert last.shape == (len(rows), 16)
    assert before.shape == (len(rows), 32)


@torch.inference_mode()
def test_no_prefix_or_one_that_no_row_starts_with(backbone, rows, ordinary, apart):
    model = backbone("qwen2")
    engine = SharedPrefixEngine(model)
    expected = ordinary(model, rows)
    assert apart(engine.last_token_states(rows), expected) < 2e-6
    assert apart(engine.last_token_states(rows, prefix=[1, 2, 3]), expected) < 2e-6
    assert engine.counters.stock_tokens == 0


@torch.inference_mode()
def test_a_row_that_is_the_prefix(backbone, prefix, ordinary, apart):
    model = backbone("llama")
    engine = SharedPrefixEngine(model)
    rows = [prefix, [*prefix, 4], prefix[:2]]
    assert apart(engine.last_token_states(rows, prefix=prefix), ordinary(model, rows)) < 2e-6


@pytest.mark.parametrize("budget", [1, 7, 20, 10_000])
@torch.inference_mode()
def test_any_budget_gives_the_same(backbone, budget, rows, prefix, ordinary, apart):
    model = backbone("gpt2")
    engine = SharedPrefixEngine(model, token_budget=budget)
    assert apart(engine.last_token_states(rows, prefix=prefix), ordinary(model, rows)) < 2e-6


@torch.inference_mode()
def test_many_texts_behind_a_long_prefix(backbone, ordinary, apart):
    # The prefix is put in front of more texts than are copied at once.
    model = backbone("llama", max_position_embeddings=1024)
    prefix = [3 + index % 190 for index in range(700)]
    rows = [[*prefix, 3 + index, 9] for index in range(12)]
    engine = SharedPrefixEngine(model)
    assert apart(engine.last_token_states(rows, prefix=prefix), ordinary(model, rows)) < 4e-6
    assert engine.counters.stock_tokens == 0


@pytest.mark.parametrize("rope_type", ["dynamic", "longrope"])
@torch.inference_mode()
def test_rows_whose_angles_depend_on_their_company_go_alone(backbone, rope_type, rows, prefix, ordinary, apart):
    rope = {"rope_type": rope_type, "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16}
    if rope_type == "longrope":
        rope |= {"short_factor": [1.0] * 4, "long_factor": [4.0] * 4}
    model = backbone("llama", rope_parameters=rope, max_position_embeddings=16)
    short = [row for row in rows if len(row) <= 16]
    engine = SharedPrefixEngine(model)
    assert apart(engine.last_token_states(short, prefix=prefix), ordinary(model, short)) < 2e-6
    assert engine.counters.stock_tokens == 0
    engine.last_token_states(rows, prefix=prefix)
    assert engine.counters.stock_tokens > 0


@torch.inference_mode()
def test_attention_that_goes_by_the_place_in_a_pack_gets_small_packs(backbone, prefix, ordinary, apart):
    """Llama 4 scales queries by their place in the forward; the rows at the end of a large pack would feel it."""
    model = backbone("llama4_text", floor_scale=64, attn_scale=0.5)
    rows = [[*prefix, first, second] for first in range(3, 13) for second in range(20, 30)]
    engine = SharedPrefixEngine(model)
    assert apart(engine.last_token_states(rows, prefix=prefix), ordinary(model, rows)) < 2e-6
    assert engine.counters.stock_tokens == 0
    long = [*prefix, *range(3, 40)]
    assert apart(engine.last_token_states([long], prefix=prefix), ordinary(model, [long])) < 2e-6
    assert engine.counters.stock_tokens == len(long)


def test_a_layer_that_is_not_there(backbone, rows):
    engine = SharedPrefixEngine(backbone("llama"))
    for layer in (0, 1, -6):
        with pytest.raises(LayerError, match=f"layer {layer} .* from -5 to -1"):
            engine.last_token_states(rows, layer=layer)


def test_rows_without_tokens(backbone):
    engine = SharedPrefixEngine(backbone("llama"))
    with pytest.raises(InputError, match="row 1 holds no token"):
        engine.last_token_states([[5], []])
    with pytest.raises(InputError, match="no row"):
        engine.last_token_states([])
