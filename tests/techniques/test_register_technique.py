"""A technique of one's own is known wherever those of the package are."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from prompteol import TECHNIQUES, PromptEOL, fit_readout, register_technique
from prompteol.errors import SettingError
from prompteol.techniques import ForwardTechnique, Readout, Whitening

PAGE = Path(__file__).parents[2] / "docs" / "extend" / "technique.md"
pytestmark = pytest.mark.usefixtures("own_registry")


def test_the_page_says_how(tiny, tmp_path, texts, close):
    forward, readout = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names = {}
    exec(forward, names)
    assert names["vectors"].shape == (2, 256)
    folder, template = tiny("llama"), PromptEOL().template
    model = PromptEOL(folder, technique="two-prompts:weight=0.6", device="cpu")
    own, short = (
        PromptEOL(folder, template=one, device="cpu").encode(texts)
        for one in (template, replace(template, prefix='In one word, "'))
    )
    assert close(model.encode(texts), 0.6 * own + 0.4 * short)
    model.save_pretrained(tmp_path)
    assert close(PromptEOL(tmp_path, device="cpu").encode(texts), model.encode(texts))
    exec(readout, names)
    given = ["A man plays.", "Two dogs run.", "Rain falls.", "The market fell."]
    assert np.allclose(names["model"].encode(given).std(0, ddof=1), 1, atol=1e-4)


def test_ten_lines_are_enough(tiny, texts, close):
    @dataclass(frozen=True)
    class LastLayers(ForwardTechnique):
        """Average the states of the last layers."""

        steps: tuple[int, ...] = (0, 1)

        def layers(self, layer):
            return [layer - step for step in self.steps]

    register_technique("last-layers", LastLayers)
    folder = tiny("opt")
    model = PromptEOL(folder, technique="last-layers", demonstrations="opt-2.7b", layer=-2, device="cpu")
    single = [PromptEOL(folder, demonstrations="opt-2.7b", layer=layer, device="cpu") for layer in (-2, -3)]
    assert close(model.encode(texts), np.mean([one.encode(texts) for one in single], 0))
    assert close(model.encode(texts, engine="stock"), model.encode(texts))
    assert model.provenance["technique"] == "last-layers:steps=0+1"


@pytest.mark.parametrize("name", [*TECHNIQUES, "", "two words", "a:b", "a,b", 3])
def test_a_name_that_is_taken_or_none_is_refused(name):
    before = dict(TECHNIQUES)
    with pytest.raises(SettingError, match=r"exists|is none"):
        register_technique(name, Whitening)
    assert before == TECHNIQUES


def test_what_is_no_technique_is_refused(tiny):
    @dataclass(frozen=True)
    class Flat(ForwardTechnique):
        def combine(self, states):
            return states

    with pytest.raises(SettingError, match="no subclass of Readout or ForwardTechnique"):
        register_technique("mine", dict)
    with pytest.raises(SettingError, match=r'register_technique\("my-technique", Flat\)'):
        PromptEOL(tiny("llama"), technique=Flat())
    register_technique("flat", Flat)
    with pytest.raises(SettingError, match=r"combines states of shape \(2, 1, 1, 32\) to \(2, 1, 1, 32\)"):
        PromptEOL(tiny("llama"), technique="flat", device="cpu")
    with pytest.raises(SettingError, match="no read-out"):
        fit_readout(PromptEOL(tiny("llama"), device="cpu"), ["a"], "flat")


def test_configurations_explain_themselves():
    assert Readout.options() == "no options"
    assert "power=0.5 (0 centers, 1 whitens whole)" in Whitening.options()
