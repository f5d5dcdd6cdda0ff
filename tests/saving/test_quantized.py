"""A quantized model is saved right, or not at all."""

import numpy as np
import pytest
from transformers import BitsAndBytesConfig

from prompteol import PromptEOL
from prompteol.errors import ModelError
from prompteol.testing import tiny_model

pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed; pip install bitsandbytes to run these")
pytestmark = pytest.mark.filterwarnings("ignore:MatMul8bitLt. inputs will be cast")

TEXTS = ["A man plays the guitar.", "Two dogs run in the snow today.", "x"]


@pytest.fixture
def quantized(tmp_path):
    def load(**settings):
        folder = tiny_model(tmp_path / "base", "opt", hidden_size=64)
        return PromptEOL(folder, model_kwargs={"quantization_config": BitsAndBytesConfig(**settings)})

    return load


def test_eight_bits_come_back(quantized, tmp_path):
    model = quantized(load_in_8bit=True)
    expected = model.encode(TEXTS)
    model.save(tmp_path / "saved")
    again = PromptEOL(str(tmp_path / "saved"))
    assert again.fingerprint() == model.fingerprint()
    assert np.abs(again.encode(TEXTS) - expected).max() < 1e-5 * np.abs(expected).max()


def test_four_bits_on_a_cpu_are_not_read(quantized, tmp_path):
    model = quantized(load_in_4bit=True)
    expected = model.encode(TEXTS)
    with pytest.raises(ModelError, match=r"OPTModel holds 4-bit weights on a CPU.*without quantization_config"):
        model.fingerprint()
    with pytest.raises(ModelError, match="4-bit"):
        model.save(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
    assert np.array_equal(model.encode(TEXTS), expected)
