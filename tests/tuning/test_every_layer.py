"""A technique read at several layers at once gives what it gives at each alone, and runs no pass twice."""

import pytest
import torch

from prompteol import TECHNIQUES, PromptEOL
from prompteol.errors import ModelError, SettingError
from prompteol.inference.reference_forward import sharing_copy
from prompteol.techniques import ForwardTechnique
from prompteol.techniques.forward import Forward
from prompteol.tuning.every_layer import TechniqueForward

TEXTS = ["A man is playing a guitar", "Two dogs run", "The cat sat on the mat"]
FORWARD = [name for name, config in TECHNIQUES.items() if issubclass(config, ForwardTechnique)]


@pytest.mark.parametrize("name", FORWARD)
def test_all_layers_at_once_are_each_alone(name, tiny, monkeypatch):
    base = tiny("llama", layers=3)
    plain = PromptEOL(base, device="cpu")
    technique = TECHNIQUES[name].configure({})
    calls, real = [], Forward.__call__
    monkeypatch.setattr(Forward, "__call__", lambda self, *a, **k: calls.append(self.layer) or real(self, *a, **k))
    transformer = sharing_copy(plain.module.transformer)
    try:
        alone = PromptEOL(base, device="cpu", technique=name, layer=-1)
    except ModelError as error:
        pytest.skip(str(error))
    together = TechniqueForward(transformer, plain.template, technique, [-3, -2, -1], "auto")
    calls.clear()
    with torch.inference_mode():
        vectors, tokens = together(TEXTS, None)
    passes = len(calls)
    assert tokens > 0
    assert len(vectors) == 3
    calls.clear()
    for layer, found in zip((-3, -2, -1), vectors, strict=True):
        try:
            alone.set_template(layer=layer)
        except SettingError:  # below the first layer that the technique reads
            assert not found.any()
            continue
        torch.testing.assert_close(found.float(), torch.from_numpy(alone.encode(TEXTS)), atol=1e-5, rtol=1e-4)
    assert passes < len(calls), "one pass serves all layers"
