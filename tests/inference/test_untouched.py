"""The user's model stays as it was: training, saving, copying, threads and processes see nothing of the engine."""

import copy
import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from transformers import AutoModel

from prompteol.inference import SharedPrefixEngine
from prompteol.inference.pooling import TokenPooling


def describe(model):
    return (
        model.config.to_json_string(),
        [(name, type(module), list(module.__dict__)) for name, module in model.named_modules()],
        {name: (id(tensor), tensor.clone()) for name, tensor in model.state_dict(keep_vars=True).items()},
    )


@pytest.fixture
def warm(backbone, rows, prefix):
    engine = SharedPrefixEngine(backbone("llama"))
    with torch.inference_mode():
        engine.last_token_states(rows, prefix=prefix, layer=-2)
    return engine


def test_nothing_is_left_on_the_model(backbone, rows, prefix, tmp_path):
    model = backbone("llama")
    text, modules, tensors = describe(model)
    with torch.inference_mode():
        SharedPrefixEngine(model).last_token_states(rows, prefix=prefix, layer=-2)
    after_text, after_modules, after_tensors = describe(model)
    assert after_text == text
    assert after_modules == modules
    assert all(torch.equal(after_tensors[name][1], tensor) for name, (_, tensor) in tensors.items())
    assert [place for place, _ in after_tensors.values()] == [place for place, _ in tensors.values()]
    model.save_pretrained(tmp_path)
    assert "prompteol" not in (tmp_path / "config.json").read_text()
    AutoModel.from_pretrained(tmp_path)


def test_a_model_is_not_checked_again_after_it_was_saved(warm, rows, prefix, tmp_path):
    checks = warm.counters.checks
    warm.backbone.save_pretrained(tmp_path)
    with torch.inference_mode():
        warm.last_token_states(rows, prefix=prefix, layer=-2)
        assert warm.counters.checks == checks
        warm.backbone.config.rms_norm_eps *= 2
        warm.last_token_states(rows, prefix=prefix, layer=-2)
    assert warm.counters.checks > checks


def test_training_takes_the_ordinary_forward_with_gradients(warm, rows, prefix):
    before = copy.copy(warm.counters)
    warm.backbone.train()
    states = warm.last_token_states(rows, prefix=prefix)
    states.sum().backward()
    assert warm.backbone.layers[0].mlp.up_proj.weight.grad is not None
    assert warm.counters.text_tokens == before.text_tokens
    assert warm.counters.stock_tokens == len(rows) * max(map(len, rows))


@pytest.mark.parametrize("gradients", [True, False])
def test_equal_rows_differ_under_dropout(backbone, prefix, gradients):
    model = backbone("opt", dropout=0.5).train()
    with torch.set_grad_enabled(gradients):
        states = SharedPrefixEngine(model).last_token_states([[*prefix, 4]] * 2, prefix=prefix)
    assert not torch.equal(states[0], states[1])


def test_gradients_flow_in_evaluation_mode(warm, rows, prefix):
    assert warm.last_token_states(rows, prefix=prefix).requires_grad


def test_no_grad_after_inference_mode(warm, rows, prefix, ordinary, apart):
    # What was learned in inference mode must serve outside it.
    with torch.no_grad():
        states = warm.last_token_states(rows, prefix=prefix, layer=-2)
    assert apart(states, ordinary(warm.backbone, rows, -2)) < 2e-6


def test_a_copy_and_a_pickle_carry_no_cache(warm, rows, prefix):
    plain = pickle.dumps(SharedPrefixEngine(warm.backbone))
    pickled = pickle.dumps(warm)
    assert len(pickled) == len(plain)
    with torch.inference_mode():
        expected = warm.last_token_states(rows, prefix=prefix)
        for other in (pickle.loads(pickled), copy.deepcopy(warm)):
            assert torch.allclose(other.last_token_states(rows, prefix=prefix), expected, atol=1e-5)
            assert other.backbone is not warm.backbone


def test_a_copy_keeps_its_settings(backbone):
    settings = {"token_budget": 77, "attention": "varlen", "pooling": TokenPooling("mean", 2), "strict": True}
    other = pickle.loads(pickle.dumps(SharedPrefixEngine(backbone("llama"), **settings)))
    assert other.__getstate__() == {"backbone": other.backbone, **settings}


def embed(engine, rows, prefix):
    torch.set_num_threads(1)
    with torch.inference_mode():
        states = engine.last_token_states(rows, prefix=prefix)
    return states.numpy(), engine.counters.stock_tokens


def test_a_spawned_process(warm, rows, prefix):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        states, stock_tokens = pool.apply(embed, (warm, rows, prefix))
    with torch.inference_mode():
        expected = warm.last_token_states(rows, prefix=prefix)
    assert torch.allclose(torch.from_numpy(states), expected, atol=1e-5)
    assert stock_tokens == 0


def test_eight_threads(backbone, prefix, ordinary, apart):
    model = backbone("gemma3_text")
    engine = SharedPrefixEngine(model)
    jobs = [[[*prefix, *range(3 + job, 6 + 2 * job)], [*prefix, 9, job]] for job in range(32)]

    def run(rows, layer):
        with torch.inference_mode():
            return engine.last_token_states(rows, prefix=prefix, layer=layer)

    layers = [-1 - job % 4 for job in range(32)]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(run, jobs, layers))
    for rows, layer, states in zip(jobs, layers, found, strict=True):
        assert apart(states, ordinary(model, rows, layer)) < 2e-6
    assert engine.counters.stock_tokens == 0


def test_layers_on_several_devices(backbone, rows, prefix, ordinary, apart):
    # One machine, but accelerate's hooks are those of a model spread over several.
    accelerate = pytest.importorskip("accelerate")
    model = backbone("llama")
    expected = ordinary(model, rows)
    places = {"embed_tokens": "cpu", "norm": "cpu", "rotary_emb": "cpu"}
    places |= {f"layers.{index}": "cpu" for index in range(4)}
    spread = accelerate.dispatch_model(model, places, main_device="cpu", force_hooks=True)
    engine = SharedPrefixEngine(spread)
    with torch.inference_mode():
        assert apart(engine.last_token_states(rows, prefix=prefix), expected) < 2e-6
    assert engine.counters.stock_tokens == 0
