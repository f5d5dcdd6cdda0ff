"""Backbones quantized by bitsandbytes take the packed forward where it is right, else the reference forward."""

import pytest
import torch
from transformers import AutoModel, BitsAndBytesConfig

from prompteol.inference import SharedPrefixEngine
from prompteol.inference.reference_forward import reference_states

pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed; pip install bitsandbytes to run these")
pytestmark = [
    pytest.mark.usefixtures("without_gradients"),
    pytest.mark.filterwarnings("ignore:MatMul8bitLt. inputs will be cast"),
]

FOUR_BIT = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
EIGHT_BIT = BitsAndBytesConfig(load_in_8bit=True)
# On a CPU 4-bit weights want multiples of 64.
SIZES = {
    "llama": {"hidden_size": 64, "intermediate_size": 128},
    "gemma3_text": {"hidden_size": 64, "intermediate_size": 128, "head_dim": 16},
    "opt": {"hidden_size": 64, "word_embed_proj_dim": 64, "ffn_dim": 128},
}


@pytest.fixture
def without_gradients():
    with torch.no_grad():
        yield


@pytest.fixture
def quantized(backbone, tmp_path):
    """Load a tiny backbone with quantized weights."""

    def load(name, quantization, dtype=torch.float32):
        backbone(name, **SIZES[name]).save_pretrained(tmp_path)
        return AutoModel.from_pretrained(tmp_path, quantization_config=quantization, dtype=dtype).eval()

    return load


@pytest.mark.parametrize("name", ["llama", "opt", "gemma3_text"])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
def test_four_bits_are_fast_and_right(quantized, name, dtype, bound, rows, prefix, ordinary, apart):
    model = quantized(name, FOUR_BIT, dtype)
    assert any(parameter.dtype == torch.uint8 for parameter in model.parameters())
    engine = SharedPrefixEngine(model)
    for layer in (-1, -2):
        assert apart(engine.last_token_states(rows, prefix=prefix, layer=layer), ordinary(model, rows, layer)) < bound
    assert engine.counters.stock_tokens == 0


def test_eight_bits_that_depend_on_their_company_take_the_reference_forward(quantized, rows, prefix, ordinary, apart):
    # LLM.int8 treats a feature apart as soon as one token of the batch is large in it, here nearly always.
    model = quantized("llama", EIGHT_BIT)
    engine = SharedPrefixEngine(model)
    with pytest.warns(RuntimeWarning, match="the reference forward is used instead"):
        states = engine.last_token_states(rows, prefix=prefix)
    assert engine.counters.text_tokens == 0
    assert apart(states, ordinary(model, rows)) < 0.2


def test_other_quantized_weights_are_seen(quantized, rows, prefix, ordinary, apart):
    model = quantized("llama", FOUR_BIT)
    engine = SharedPrefixEngine(model)
    before = engine.last_token_states(rows, prefix=prefix)
    weight = model.layers[1].mlp.up_proj.weight
    weight.data = weight.data.flip(0)
    after = engine.last_token_states(rows, prefix=prefix)
    assert apart(after, before) > 1e-3
    assert apart(after, ordinary(model, rows)) < 1e-5
    assert engine.counters.stock_tokens == 0


def test_an_adapter_on_top(quantized, rows, prefix, ordinary, apart):
    peft = pytest.importorskip("peft")
    model = quantized("llama", FOUR_BIT)
    plain = ordinary(model, rows)
    model.add_adapter(peft.LoraConfig(r=2, target_modules=["q_proj", "up_proj"], init_lora_weights=False))
    engine = SharedPrefixEngine(model.eval())
    assert apart(engine.last_token_states(rows, prefix=prefix), ordinary(model, rows)) < 1e-5
    model.disable_adapters()
    assert apart(engine.last_token_states(rows, prefix=prefix), plain) < 1e-5
    assert engine.counters.prefix_tokens == 2 * len(prefix)
    assert engine.counters.stock_tokens == 0


@pytest.mark.parametrize("quantization", [FOUR_BIT, EIGHT_BIT], ids=["4 bits", "8 bits"])
def test_the_reference_forward_shares_quantized_weights(quantized, quantization, rows, monkeypatch):

    model = quantized("opt", quantization)
    model(input_ids=torch.tensor(rows[:1]))
    copied = []
    tensor_copy = torch.Tensor.__deepcopy__
    monkeypatch.setattr(
        torch.Tensor, "__deepcopy__", lambda self, memo: copied.append(self.numel()) or tensor_copy(self, memo)
    )
    reference_states(model, rows, [-2])
    assert sum(copied) == 0
