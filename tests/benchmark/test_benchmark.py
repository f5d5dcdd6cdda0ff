"""The benchmark compares like with like: same vectors, honest token counts, a table and its JSON."""

import json
import re

import pytest
import torch
import typer
from typer.testing import CliRunner

from prompteol import PromptEOL
from prompteol.benchmark import build_shape, compare, methods, sentences
from prompteol.benchmark.profiling import OperationTimes
from prompteol.cli.benchmark import benchmark
from prompteol.errors import CorpusError

TEXTS = sentences(7)


@pytest.fixture(scope="module")
def results(tiny):
    source = tiny("llama")
    model = PromptEOL(source, demonstrations="opt-2.7b", device="cpu")
    return {result.name: result for result in compare(methods(source, model), TEXTS, repeats=2)}


def test_the_same_sentences_every_time():
    assert sentences(50) == sentences(50) != sentences(50, seed=1)
    assert {3, 29} >= {min(lengths := [len(text.split()) for text in sentences(2000)]), max(lengths)}


def test_everybody_computes_the_same_vectors(results):
    assert {"prompteol", "sentence-transformers", "the authors' way"} <= results.keys()
    for result in results.values():
        if "layer" in result.name:
            assert result.difference is result.cosine is None
        else:
            assert result.difference < (2e-2 if "bf16" in result.name else 1e-5)
            assert 1 - result.cosine < (1e-3 if "bf16" in result.name else 1e-5)


@pytest.mark.parametrize("capability", ["amx_bf16", "avx512_bf16", "bf16", "none"])
def test_bf16_is_offered_where_the_processor_computes_it(tiny, capability, monkeypatch):
    found = {"architecture": "any", "amx_bf16": False, capability: True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    source = tiny("llama")
    ways = [method.name for method in methods(source, PromptEOL(source, device="cpu"))]
    assert ("prompteol, bf16" in ways) == (capability != "none")


def test_where_the_time_goes(results):
    for result in results.values():
        assert list(result.time_shares) == ["matrix products", "attention", "copies", "elementwise", "Python"]
        assert sum(result.time_shares.values()) == pytest.approx(1)
        assert min(result.time_shares.values()) > 0


def test_operations_by_kind():
    states, heads = torch.ones(64, 64), torch.ones(1, 2, 8, 4)
    calls = {
        "matrix products": lambda: (torch.nn.functional.linear(states, states), states @ states),
        "attention": lambda: (torch.nn.functional.scaled_dot_product_attention(heads, heads, heads), heads @ heads.mT),
        "copies": lambda: (torch.cat([states, states]), states[[1, 0]], states.T.contiguous()),
        "elementwise": lambda: (states * 2, states.mul_(1), torch.nn.functional.silu(states)),
        "Python": lambda: (states.view(-1), states[:4], states.shape, states.T.reshape(64, 64)),
    }
    ticks = iter(range(1000))
    for kind, call in calls.items():
        with OperationTimes(torch.device("cpu"), lambda: next(ticks)) as times:
            call()
        found = times.shares(times.total)
        assert found[kind] > 0
        assert not any(share for other, share in found.items() if other not in (kind, "Python"))


def test_tokens_are_those_that_went_through(results, tiny):
    model = PromptEOL(tiny("llama"), demonstrations="opt-2.7b", device="cpu")
    features = model.eval().preprocess(TEXTS)
    rows = features["attention_mask"].sum(dim=1)
    assert results["sentence-transformers"].tokens == features["input_ids"].numel()
    assert results["the authors' way"].tokens == features["input_ids"].numel()
    head = len(model.module.prompter.head())
    assert results["prompteol"].tokens == head + int((rows - head).sum())


def test_operations_are_counted(results):
    ours, stock, shallow = (
        results[name].operations for name in ("prompteol", "sentence-transformers", "prompteol, layer at 75 %")
    )
    assert 0 < shallow < ours < stock < results["the authors' way"].operations


def test_ratios_are_taken_within_a_round(results):
    stock, ours = results["sentence-transformers"], results["prompteol"]
    assert stock.times_stock == [1.0, 1.0]
    assert ours.times_stock == [theirs / own for theirs, own in zip(stock.seconds, ours.seconds, strict=True)]
    assert ours.ratio.low <= ours.ratio.median <= ours.ratio.high
    assert ours.gemm_share.median > 0


def test_the_command(tiny, tmp_path):
    app = typer.Typer()
    app.command()(benchmark)
    texts, report = tmp_path / "texts.txt", tmp_path / "report.json"
    texts.write_text("\n".join(TEXTS))
    options = ["--sentences", texts, "--count", "3", "--repeats", "1", "--output", report]
    result = CliRunner().invoke(app, ["-m", tiny("opt"), *map(str, options)], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert "sentence-transformers" in result.stdout
    assert re.search(r"^prompteol: matrix products \d+%, attention \d+%, copies \d+%, ", result.stdout, re.MULTILINE)
    figures = json.loads(report.read_text())
    assert figures["machine"]["torch"] == torch.__version__
    assert [run["demonstration"] for run in figures["runs"]] == ["none", "opt-2.7b"]
    ours = figures["runs"][0]["results"][0]
    assert ours["texts"] == 3
    assert len(ours["seconds"]) == 1
    texts_of = {result["name"]: result["texts"] for result in figures["runs"][0]["results"]}
    for way in ("prompteol", "sentence-transformers"):
        assert texts_of[f"{way}, one text"] == 1
        assert texts_of[f"{way}, 256 short texts"] == 256
    again = CliRunner().invoke(app, ["-m", tiny("opt"), *map(str, options)])
    assert isinstance(again.exception, CorpusError)
    assert "--force" in str(again.exception)
    assert json.loads(report.read_text()) == figures


def test_a_shape_is_a_model(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "prompteol.benchmark.ways.SHAPES",
        {
            "small": {
                "model_type": "qwen3",
                "vocab_size": 9000,
                "hidden_size": 32,
                "num_hidden_layers": 2,
                "head_dim": 8,
            }
        },
    )
    model = PromptEOL(build_shape("small", tmp_path), device="cpu")
    assert model.encode(TEXTS).shape == (7, 32)
    # Most words are one token, as in the vocabularies of real models.
    row = model.tokenizer(TEXTS[0], add_special_tokens=False)["input_ids"]
    assert len(row) <= len(TEXTS[0].split()) + 2
