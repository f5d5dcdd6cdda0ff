"""The graph gives the model's own vectors under ONNX Runtime, a batch those of its texts alone."""

import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer.modules import Dense

from prompteol import PromptEOL, export
from prompteol.errors import MissingExtraError, SettingError
from prompteol.saving.export.prompt import ExportedPrompt

TEXTS = ["A man is playing a guitar.", "Why?", 'say "hi" {{ x }}', "😀 文字。", "photo.png", "  two  blanks\n"]


@pytest.fixture(scope="session")
def vectors_of():
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    from prompteol.saving.export.onnx import OnnxModel

    return lambda done, rows: OnnxModel(done.folder / "onnx" / "model.onnx").vectors(rows)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_vectors_are_ours(vectors_of, tiny, architecture, tmp_path):
    model = PromptEOL(tiny(architecture), device="cpu")
    done = export(model, tmp_path / "out", onnx=True)
    rows = ExportedPrompt(model.module.prompter).rows(TEXTS)
    together = vectors_of(done, rows)
    alone = np.concatenate([vectors_of(done, [row]) for row in rows])
    assert np.abs(unit(together) - unit(model.encode(TEXTS))).max() <= 4e-6
    assert np.abs(unit(together) - unit(alone)).max() <= 1e-6
    compared = {one.kind: one for one in done.comparisons if one.loaded == "ONNX Runtime"}
    assert compared["ordinary"].difference <= 4e-6
    assert done.record["onnx"]["opset"] >= 18


def test_dense_normalization_and_a_layer_are_in_the_graph(vectors_of, tiny, tmp_path):
    model = PromptEOL(tiny("opt"), layer=-2, device="cpu")
    model.append(Dense(32, 8, activation_function=torch.nn.Identity()))
    done = export(model, tmp_path / "out", onnx=True, normalize=True)
    vectors = vectors_of(done, ExportedPrompt(model.module.prompter).rows(TEXTS))
    assert np.abs(vectors - unit(model.encode(TEXTS))).max() <= 4e-6


def test_weights_that_half_precision_holds_are_stored_in_it(vectors_of, tiny, tmp_path):
    model = PromptEOL(tiny("llama"), device="cpu")
    whole = export(model, tmp_path / "whole", onnx=True).record["onnx"]
    assert whole["weights_in_float16"] == 0
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half().float())
    done = export(model, tmp_path / "half", onnx=True)
    assert done.record["onnx"]["weights_in_float16"] > 10
    assert done.record["onnx"]["bytes"] < 0.8 * whole["bytes"]
    vectors = vectors_of(done, ExportedPrompt(model.module.prompter).rows(TEXTS))
    assert np.abs(unit(vectors) - unit(model.encode(TEXTS))).max() <= 4e-6


def test_large_weights_lie_beside_the_graph(vectors_of, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("prompteol.saving.export.onnx._LARGEST_FILE", 1000)
    model = PromptEOL(tiny("llama"), device="cpu")
    done = export(model, tmp_path / "out", onnx=True)
    assert (tmp_path / "out" / "onnx" / "model.onnx_data").stat().st_size > 10_000
    vectors = vectors_of(done, ExportedPrompt(model.module.prompter).rows(TEXTS))
    assert np.abs(unit(vectors) - unit(model.encode(TEXTS))).max() <= 4e-6


def test_without_the_extra_nothing_is_written(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("prompteol.extras.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install \"prompteol\[onnx\]\""):
        export(PromptEOL(tiny("llama"), device="cpu"), tmp_path / "out", onnx=True)
    assert list(tmp_path.iterdir()) == []


def test_llama_cpp_reads_no_graph(tiny, tmp_path, monkeypatch):
    with pytest.raises(SettingError, match="reads no ONNX"):
        export(PromptEOL(tiny("llama"), device="cpu"), tmp_path / "out", onnx=True, server="llama.cpp")
