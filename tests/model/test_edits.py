"""Whatever is done to a model between two calls, the next vectors are those of the reference forward."""

import copy
from types import SimpleNamespace

import numpy as np
import peft
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prompteol import PromptEOL

TEXTS = ["A man is playing a guitar.", "Why?", "Two dogs run in the snow.", "rain"]
FACTORS = st.sampled_from([0.5, 0.9, 1.1, 1.5])
# Only the words of the warning are ours to see; that it takes the reference forward is right.
pytestmark = pytest.mark.filterwarnings("ignore:LlamaModel cannot be run", "ignore:Already found a `peft_config`")


def in_place(backbone, place, factor):
    parameters = list(backbone.parameters())
    with torch.no_grad():
        parameters[place % len(parameters)].mul_(factor)


def behind_the_counter(backbone, place, factor):
    parameters = list(backbone.parameters())
    parameters[place % len(parameters)].data.mul_(factor)


def one_row(backbone, place, factor):
    weight = backbone.get_input_embeddings().weight
    weight.data[place % len(weight)] += factor


def other_data(backbone, place, factor):
    layer = backbone.layers[place % len(backbone.layers)]
    layer.mlp.up_proj.weight.data = layer.mlp.up_proj.weight.data.flip(0)


def state_dict(backbone, place, factor):
    backbone.load_state_dict({name: factor * tensor for name, tensor in backbone.state_dict().items()})


def a_buffer(backbone, place, factor):
    backbone.rotary_emb.inv_freq.mul_(factor)


def another_buffer(backbone, place, factor):
    backbone.rotary_emb.inv_freq = backbone.rotary_emb.inv_freq * factor


def angles(backbone, place, factor):
    backbone.rotary_emb.attention_scaling = factor


def epsilon(backbone, place, factor):
    norms = [module for module in backbone.modules() if hasattr(module, "variance_epsilon")]
    norms[place % len(norms)].variance_epsilon = factor


def scaling(backbone, place, factor):
    backbone.layers[place % len(backbone.layers)].self_attn.scaling *= factor


def activation(backbone, place, factor):
    backbone.layers[place % len(backbone.layers)].mlp.act_fn = torch.nn.ReLU().eval()


def submodule(backbone, place, factor):
    attention = backbone.layers[place % len(backbone.layers)].self_attn
    attention.v_proj = copy.deepcopy(attention.v_proj)
    attention.v_proj.weight.data.mul_(factor)


def shared_module(backbone, place, factor):
    backbone.layers[0].mlp = backbone.layers[1].mlp


def tied_weight(backbone, place, factor):
    first, second = (backbone.layers[index].self_attn.q_proj for index in (0, 1))
    # An adapter's layer has the weight in its base layer.
    getattr(first, "base_layer", first).weight = getattr(second, "base_layer", second).weight


def swapped_layers(backbone, place, factor):
    # Their weights alone: transformers keys nothing on the place here.
    backbone.layers[0], backbone.layers[1] = backbone.layers[1], backbone.layers[0]


def fewer_layers(backbone, place, factor):
    backbone.config.num_hidden_layers = 3


def eager(backbone, place, factor):
    backbone.set_attn_implementation("eager")


def no_gradients(backbone, place, factor):
    backbone.requires_grad_(False)


def half(backbone, place, factor):
    backbone.to(torch.bfloat16)


def double(backbone, place, factor):
    backbone.double()


def hook(backbone, place, factor):
    def scaled(module, inputs, output):
        if isinstance(output, torch.Tensor):
            return output * factor
        if isinstance(output, tuple):
            return (output[0] * factor, *output[1:])
        output.last_hidden_state = output.last_hidden_state * factor
        return output

    modules = [m for m in backbone.modules() if not isinstance(m, torch.nn.ModuleList) and m is not backbone.rotary_emb]
    modules[place % len(modules)].register_forward_hook(scaled)


def hook_on_the_first_token(backbone, place, factor):
    def steered(module, inputs, output):
        output = output.clone()
        output[:, 0] += factor
        return output

    backbone.layers[place % len(backbone.layers)].mlp.register_forward_hook(steered)


def hook_before(backbone, place, factor):
    backbone.layers[place % len(backbone.layers)].mlp.register_forward_pre_hook(lambda _, inputs: inputs[0] * factor)


def another_forward(backbone, place, factor):
    mlp = backbone.layers[place % len(backbone.layers)].mlp
    ours = mlp.forward
    mlp.forward = lambda states: ours(states) * factor


def adapter(backbone, place, factor):
    name = f"number{len(getattr(backbone, 'peft_config', ()))}"
    backbone.add_adapter(peft.LoraConfig(r=2, target_modules=["q_proj", "up_proj"], init_lora_weights=False), name)
    backbone.eval()


def adapter_off(backbone, place, factor):
    if getattr(backbone, "peft_config", None):
        backbone.disable_adapters()


def adapter_scale(backbone, place, factor):
    for module in backbone.modules():
        for name in getattr(module, "scaling", {}) if isinstance(getattr(module, "scaling", None), dict) else ():
            module.scaling[name] = factor


EDITS = [value for name, value in list(globals().items()) if getattr(value, "__module__", "") == __name__]


@pytest.fixture(scope="module")
def base(tiny):
    return PromptEOL(tiny("llama"), device="cpu")


def assert_equal(model):
    stock = model.encode(TEXTS, engine="stock")
    bound = {torch.float64: 1e-5, torch.float32: 5e-5, torch.bfloat16: 6e-2}[model.transformers_model.dtype]
    for found in (model.encode(TEXTS), np.stack([model.encode(text) for text in TEXTS[:2]])):
        assert np.abs(found - stock[: len(found)]).max() <= bound * np.abs(stock).max()


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
def test_an_edit_is_seen(base, edit):
    model = copy.deepcopy(base)
    model.encode(TEXTS)
    edit(model.transformers_model, 3, 1.5)
    assert_equal(model)


@given(st.lists(st.tuples(st.sampled_from(EDITS), st.integers(0, 1000), FACTORS), min_size=1, max_size=3))
def test_any_edits_are_seen(base, edits):
    model = copy.deepcopy(base)
    model.encode(TEXTS)
    for edit, place, factor in edits:
        edit(model.transformers_model, place, factor)
    assert_equal(model)


def test_a_hook_that_changes_its_mind(base):
    model = copy.deepcopy(base)
    state = SimpleNamespace(factor=1.0)
    model.transformers_model.layers[0].mlp.register_forward_hook(lambda _, __, output: output * state.factor)
    for state.factor in (1.0, 2.0, 3.0):
        assert_equal(model)


class Leaking(torch.nn.Module):
    """Mix each token with the one before it, as much as the gate is open, or where a state is unusual."""

    def __init__(self, inner, rare):
        super().__init__()
        self.inner, self.rare = inner, rare
        self.gate = torch.nn.Parameter(torch.zeros(()))
        self.register_buffer("more", torch.zeros(()))

    def forward(self, states):
        before = torch.cat([torch.zeros_like(states[:, :1]), states[:, :-1]], 1)
        seen = (states[..., :1] > 1.2) * 0.5 if self.rare else self.gate + self.more
        return self.inner(states) + before * seen


@pytest.mark.parametrize("rare", [False, True])
@pytest.mark.parametrize("name", ["gate", "more"])
def test_a_foreign_module_that_mixes_tokens_for_some_values(base, name, rare):
    model = copy.deepcopy(base)
    layer = model.transformers_model.layers[1]
    layer.mlp = Leaking(layer.mlp, rare).eval()
    assert_equal(model)
    with torch.no_grad():
        getattr(layer.mlp, name).fill_(0.5)
    assert_equal(model)


def test_pooling_and_hooks_around_the_backbone(base):
    model = copy.deepcopy(base)
    model.module.pooling.pooling_mode = "mean"
    assert_equal(model)
    model.module.pooling.register_forward_hook(
        lambda _, __, features: features | {"sentence_embedding": features["sentence_embedding"] * 2}
    )
    assert_equal(model)
