"""Nothing computed from the weights outlives them: whatever changes them, the next states are the new ones."""

import copy

import pytest
import torch

from prompteol.inference import SharedPrefixEngine


@pytest.fixture
def model(backbone):
    return backbone("llama")


@pytest.fixture
def engine(model, rows, prefix):
    """An engine that has run with the prefix."""
    engine = SharedPrefixEngine(model)
    with torch.inference_mode():
        engine.last_token_states(rows, prefix=prefix)
    return engine


def edit_in_place(model):
    with torch.no_grad():
        model.layers[0].self_attn.k_proj.weight.mul_(1.5)


def load_other_weights(model):
    model.load_state_dict({name: 1.1 * tensor for name, tensor in model.state_dict().items()})


def step_an_optimizer_on_embeddings_only(model):
    # All but a few rows have no gradient: hardly any weight changes.
    embeddings = model.get_input_embeddings().weight
    optimizer = torch.optim.SGD([embeddings], lr=0.5)
    model(input_ids=torch.tensor([[11, 23, 5]])).last_hidden_state.square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def replace_a_module(model):
    other = copy.deepcopy(model.layers[1].self_attn.v_proj)
    with torch.no_grad():
        other.weight.add_(0.3)
    model.layers[1].self_attn.v_proj = other


def replace_a_module_without_weights(model):
    for layer in model.layers:
        layer.mlp.act_fn = torch.nn.ReLU().eval()


def assign_data(model):
    weight = model.layers[2].mlp.up_proj.weight
    weight.data = weight.data.flip(0)


def change_dtype(model):
    model.to(torch.bfloat16)


def change_dtype_and_back(model):
    model.half().float()


@pytest.mark.parametrize(
    "change",
    [
        edit_in_place,
        load_other_weights,
        step_an_optimizer_on_embeddings_only,
        replace_a_module,
        replace_a_module_without_weights,
        assign_data,
        change_dtype,
        change_dtype_and_back,
    ],
)
def test_a_change_of_weights_is_seen(engine, model, change, rows, prefix, ordinary, apart):
    before = ordinary(model, rows)
    change(model)
    after = ordinary(model, rows)
    assert not torch.equal(after, before)
    with torch.inference_mode():
        states = engine.last_token_states(rows, prefix=prefix)
    assert apart(states, after) < (2e-6 if model.dtype == torch.float32 else 3e-2)
    assert engine.counters.prefix_tokens == 2 * len(prefix)
    assert engine.counters.stock_tokens == 0


def test_autocast_is_another_state(engine, rows, prefix):
    # A prefix cached in fp32 must not meet queries in bf16, nor the other way round.
    with torch.inference_mode():
        plain = engine.last_token_states(rows, prefix=prefix)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = engine.last_token_states(rows, prefix=prefix)
        again = engine.last_token_states(rows, prefix=prefix)
    assert torch.allclose(plain, again, atol=1e-5)
    assert not torch.equal(plain, mixed)
    assert engine.counters.stock_tokens == 0


@pytest.mark.filterwarnings("ignore:Already found a `peft_config`")
class TestAdapters:
    @pytest.fixture
    def model(self, backbone):
        peft = pytest.importorskip("peft")
        model = backbone("llama")
        for name in ("first", "second"):
            model.add_adapter(
                peft.LoraConfig(r=2, lora_alpha=8, target_modules=["q_proj", "v_proj"], init_lora_weights=False), name
            )
        model.set_adapter("first")
        return model.eval()

    @pytest.mark.parametrize(
        "change",
        [
            lambda model: model.set_adapter("second"),
            lambda model: model.disable_adapters(),
            lambda model: merge_with_another(model),
            lambda model: edit_adapter(model),
            lambda model: rescale(model),
        ],
        ids=["switch", "disable", "merge", "edit", "rescale"],
    )
    def test_a_change_of_adapter_is_seen(self, engine, model, change, rows, prefix, ordinary, apart):
        before = ordinary(model, rows)
        change(model)
        after = ordinary(model, rows)
        assert not torch.equal(after, before)
        with torch.inference_mode():
            assert apart(engine.last_token_states(rows, prefix=prefix), after) < 2e-6
        assert engine.counters.stock_tokens == 0


def merge_with_another(model):
    # Merging what is active alone changes nothing but rounding.
    for layer in model.layers:
        layer.self_attn.q_proj.merge(adapter_names=["second"])


def edit_adapter(model):
    with torch.no_grad():
        model.layers[0].self_attn.v_proj.lora_B["first"].weight.add_(0.2)


def rescale(model):
    for layer in model.layers:
        layer.self_attn.v_proj.set_scale("first", 3.0)
