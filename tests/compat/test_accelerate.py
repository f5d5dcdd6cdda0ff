"""Canaries: each says what accelerate changed that its public interface does not promise."""

import accelerate
import pytest
from accelerate.test_utils.testing import AccelerateTestCase
from torch import nn
from transformers import AutoModel

from prompteol.compat import checkpoints_activations, forget_preparation, stop_checkpointing_activations
from prompteol.training.unwrapping import without_autocast

VERSION = f"accelerate {accelerate.__version__}"


@pytest.fixture
def own_state():
    """Accelerators of one process share their precision: forget that of tests before, and leave none to those after."""
    forget = AccelerateTestCase().tearDown
    forget()
    yield
    forget()


def test_a_model_is_prepared_a_second_time(own_state):
    model = nn.Linear(2, 2)
    accelerator = accelerate.Accelerator(mixed_precision="bf16", cpu=True)
    for _ in range(2):
        accelerator.prepare(model)
        assert "forward" in vars(model), f"{VERSION} takes a model as prepared by another attribute"
        with without_autocast(model):
            assert "forward" not in vars(model)
        assert "forward" in vars(model)
        accelerator.unwrap_model(model, keep_fp32_wrapper=False)
        vars(model).pop("forward", None)
        forget_preparation(model)


@pytest.mark.filterwarnings("ignore:.*v6:FutureWarning")
def test_activations_are_kept_once_more(tiny):
    backbone = AutoModel.from_pretrained(tiny("llama"))
    assert not checkpoints_activations(backbone)
    backbone.gradient_checkpointing_enable()
    assert checkpoints_activations(backbone)
    stop_checkpointing_activations(backbone)
    assert not checkpoints_activations(backbone)
