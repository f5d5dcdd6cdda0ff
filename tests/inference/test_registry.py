"""An attention kernel of somebody else's is selected by name and checked like ours."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import prompteol
from prompteol.errors import SettingError
from prompteol.inference import SharedPrefixEngine
from prompteol.inference import attention as kernels
from prompteol.inference.attention import GroupedAttention

PAGE = Path(__file__).parents[2] / "docs" / "extend" / "attention.md"


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    monkeypatch.setattr(kernels, "_factories", dict(kernels._factories))


class Doubled:
    """A kernel that is wrong."""

    name = "doubled"

    def mask(self, seen, dtype):
        return seen

    def __call__(self, context, module, query, key, value, mask, **kwargs):
        return 2 * GroupedAttention("sdpa")(context, module, query, key, value, mask, **kwargs)


def test_the_page_says_how():
    names = {}
    exec(re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[1], names)
    texts = ["A man is playing a guitar.", "Two dogs run in the snow.", "rain"]
    model = names["model"]
    assert model.module.attention == "one_text_at_a_time"
    assert np.allclose(names["vectors"], model.encode(texts, engine="stock"), atol=1e-5)
    engine = model.module._shared_prefix_engine()
    assert engine.counters.stock_tokens == 0
    assert engine.counters.checks == 1
    model.template = "{text}: in one word:"
    assert model.module.attention == "one_text_at_a_time"


def test_ten_lines_are_enough(backbone, rows, prefix, ordinary, apart):
    calls = []

    class Mine(GroupedAttention):
        def __call__(self, *args, **kwargs):
            calls.append(args)
            return super().__call__(*args, **kwargs)

    prompteol.register_attention("mine", lambda: Mine("sdpa"))
    engine = SharedPrefixEngine(backbone("llama"), attention="mine")
    with torch.inference_mode():
        assert apart(engine.last_token_states(rows, prefix=prefix), ordinary(engine.backbone, rows)) < 2e-6
    assert calls
    assert engine.counters.stock_tokens == 0


def test_a_wrong_kernel_is_not_used(backbone, rows, prefix, ordinary, apart):
    prompteol.register_attention("doubled", Doubled)
    engine = SharedPrefixEngine(backbone("llama"), attention="doubled")
    with torch.inference_mode(), pytest.warns(RuntimeWarning, match="doubled: layer -1 differs"):
        states = engine.last_token_states(rows, prefix=prefix)
    assert apart(states, ordinary(engine.backbone, rows)) < 2e-6


@pytest.mark.parametrize("name", ["auto", "sdpa", "varlen", "mine", ""])
def test_names_that_are_taken(name):
    prompteol.register_attention("mine", lambda: GroupedAttention("sdpa"))
    with pytest.raises(SettingError, match="is empty or taken"):
        prompteol.register_attention(name, Doubled)


def test_a_name_that_nobody_registered():
    model = prompteol.PromptEOL()
    with pytest.raises(SettingError, match="attention 'mine' is none of 'auto', 'sdpa', 'varlen'"):
        model.module.attention = "mine"
