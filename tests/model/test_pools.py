"""A pool of worker processes gives the model's own vectors, from any thread, or says why it cannot."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from tokenizers import normalizers

from prompteol import PromptEOL
from prompteol.errors import SettingError
from prompteol.prompts import PromptTemplate

TEXTS = [f"Sentence number {number} of some" for number in range(24)]


@pytest.fixture
def model(tiny):
    return PromptEOL(tiny("llama"), device="cpu")


@pytest.fixture
def pool(model):
    pool = model.start_multi_process_pool(["cpu"])
    yield pool
    model.stop_multi_process_pool(pool)


def test_four_threads_share_one_pool(model, pool):
    parts = [TEXTS[first::4] for first in range(4)] * 3
    expected = [model.encode(part) for part in parts]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda part: model.encode(part, pool=pool, chunk_size=2), parts))
    for ours, theirs in zip(found, expected, strict=True):
        assert np.allclose(ours, theirs, atol=1e-5)


def prefix_of_another_template(model):
    model.set_template(PromptTemplate('In one word, "', '" is: "'))


def add_adapter(model):
    peft = pytest.importorskip("peft")
    model.add_adapter(peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))


def other_dtype(model):
    model.to(torch.bfloat16)


def other_weights(model):
    for parameter in model.parameters():
        parameter.data = parameter.data * 1.1


def another_norm(model):
    model.transformers_model.norm.variance_epsilon = 0.5


def another_normalizer(model):
    model.tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()


def other_angles(model):
    """Of a buffer that no saved model holds."""
    model.transformers_model.rotary_emb.inv_freq.data = 3 * model.transformers_model.rotary_emb.inv_freq


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (prefix_of_another_template, "template"),
        (lambda model: model.set_template(model.template, layer=-2), "layer"),
        (add_adapter, "modules, adapters or settings"),
        (other_dtype, "modules, adapters or settings"),
        (other_weights, "weights"),
        (another_norm, "modules, adapters or settings"),
        (another_normalizer, "tokenizer"),
        (lambda model: model.tokenizer.add_tokens(["sentence"]), "tokenizer"),
        (other_angles, "weights"),
    ],
)
def test_a_model_that_changed_is_refused(model, pool, change, named):
    change(model)
    with pytest.raises(SettingError, match=f"{named}.* changed after this pool was started.*start a new one"):
        model.encode(TEXTS, pool=pool)


@pytest.mark.parametrize("name", ["layers.0.mlp.up_proj.weight", "rotary_emb.inv_freq"])
def test_an_edit_in_place_reaches_workers_that_share_the_memory(model, pool, name):
    before = model.encode(TEXTS, pool=pool)
    backbone = model.transformers_model
    with torch.no_grad():
        {**dict(backbone.named_parameters()), **dict(backbone.named_buffers())}[name].mul_(1.5)
    after = model.encode(TEXTS, pool=pool)
    assert not np.allclose(after, before, atol=1e-3)
    assert np.allclose(after, model.encode(TEXTS, engine="stock"), atol=1e-5)


class Interrupted:
    """A queue of results that is interrupted after the first one, as by Ctrl-C."""

    def __init__(self, queue):
        self.queue, self.found = queue, 0

    def get(self, *args, **kwargs):
        self.found += 1
        if self.found > 1:
            raise KeyboardInterrupt
        return self.queue.get(*args, **kwargs)


def test_a_call_that_was_cut_short_breaks_the_pool(model, pool):
    with pytest.raises(KeyboardInterrupt):
        model.encode(TEXTS, pool={**pool, "output": Interrupted(pool["output"])}, chunk_size=8)
    with pytest.raises(SettingError, match=r"an earlier call was cut short.*start a new one"):
        model.encode(TEXTS, pool=pool)


def test_a_pool_of_nobody(model, pool):
    with pytest.raises(SettingError, match="was not started by a PromptEOL model"):
        model.encode(TEXTS, pool={**pool, "input": object.__new__(type(pool["output"]))})
