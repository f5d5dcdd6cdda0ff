"""Techniques are tried with prompts and layers: scores are those of ``encode``, and what is found is what is saved."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from prompteol import TECHNIQUES, PromptEOL, fit_readout, tune_prompt
from prompteol.errors import SettingError, TuningError
from prompteol.techniques import ForwardTechnique, LinearMap, Readout, registry
from prompteol.tuning import FRONT_HEADER, HEADER, Setting
from prompteol.tuning.candidates import Candidate
from prompteol.tuning.evaluator import Evaluator, VectorRead
from prompteol.tuning.front import TextCost, pareto_front
from prompteol.tuning.scoring import reciprocal_ranks


@dataclass(frozen=True)
class TwoLayers(ForwardTechnique):
    """Weigh two layers of two prompts."""

    def templates(self, template):
        return template, replace(template, prefix='In one word, "')

    def layers(self, layer):
        return (-1, layer)

    def combine(self, states):
        return 0.7 * states[:, 0, 0] + 0.3 * states[:, 1, 1]


@dataclass(frozen=True)
class Halved(Readout):
    """Keep half of the dimensions."""

    def fit(self, inputs):
        width = inputs.vectors.shape[1]
        weight = inputs.vectors.new_ones(width).diag()[: width // 2]
        return LinearMap(weight, -weight @ inputs.vectors.mean(0))


@dataclass(frozen=True)
class NeedsExperts(ForwardTechnique):
    """Fit no model."""

    def combine(self, states):
        raise SettingError("this backbone has no experts")


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """Three techniques of others, and nothing else."""
    monkeypatch.setattr(registry, "_techniques", {})
    monkeypatch.setattr("prompteol.techniques.registry.TECHNIQUES", registry._techniques)
    monkeypatch.setattr("prompteol.tuning.choosing.TECHNIQUES", registry._techniques)
    for name, config in {"two-layers": TwoLayers, "halved": Halved, "experts": NeedsExperts}.items():
        registry.register_technique(name, config)


def spearman(model, pairs):
    first, second = (model.encode(list(side), normalize_embeddings=True) for side in (pairs.first, pairs.second))
    return 100 * spearmanr((first * second).sum(axis=1).round(6), pairs.scores).statistic


@pytest.fixture
def found(model, pairs, shots):
    return tune_prompt(model, pairs, shots[:3])


def test_what_others_register_is_tried_and_scored_as_encode_scores(found, tiny, pairs):
    assert set(TECHNIQUES)  # the real registry is untouched
    names = {one.candidate.technique_text for one in found.ranking}
    assert names == {"", "two-layers"}
    assert found.skipped == {"experts": "this backbone has no experts"}
    whole = [one for one in found.ranking if one.pairs == len(pairs)]
    plain, under = (next(one for one in whole if bool(one.candidate.technique) is kind) for kind in (False, True))
    texts = [*pairs.first, *pairs.second]
    for one in (plain, under):
        technique = one.candidate.technique or ()
        for read, score in zip(one.reads, one.scores, strict=True):
            options = {"template": one.candidate.template, "layer": read.layer, "technique": technique}
            alone = PromptEOL(tiny("llama", layers=2), device="cpu", **options)
            if read.readout:
                fit_readout(alone, texts, read.readout)
            assert score == pytest.approx(spearman(alone, pairs), abs=0.05), read
            assert read.dimension == alone.full_dimension
        assert {read.readout for read in one.reads} == {"", "halved"}


def test_what_is_found_is_given_to_the_model_and_saved(found, model, pairs, tmp_path):
    found.apply_to(model)
    assert spearman(model, pairs) == pytest.approx(found.best.score, abs=0.05)
    model.save_pretrained(tmp_path / "best")
    loaded = PromptEOL(tmp_path / "best", device="cpu")
    np.testing.assert_allclose(loaded.encode("A dog runs."), model.encode("A dog runs."), atol=1e-5)
    provenance = json.loads((tmp_path / "best" / "prompteol.json").read_text())["provenance"]
    assert provenance["technique"].endswith("of: none, two-layers, halved")
    assert "How the technique came to be" in (tmp_path / "best" / "README.md").read_text()


def test_the_model_stays_as_it_was(model, pairs, shots):
    before, template = model.fingerprint(), model.tokenizer.chat_template
    tune_prompt(model, pairs, shots[:1])
    assert (model.fingerprint(), model.tokenizer.chat_template) == (before, template)


def test_tables_say_what_a_text_costs(found):
    header, front = dict(zip(HEADER, zip(*found.rows(), strict=True), strict=True)), found.front_rows()
    assert set(header["passes"]) == {"1", "2"}
    assert all(len(row) == len(FRONT_HEADER) for row in front)
    costs = {one.candidate: found.costs[one.candidate] for one in found.ranking}
    assert next(cost.tokens for one, cost in costs.items() if one.plain) == 1
    assert all(cost.tokens > 1.5 for one, cost in costs.items() if one.technique)
    assert [one.cost.tokens for one in found.front] == sorted(one.cost.tokens for one in found.front)
    assert max(one.score for one in found.front) == pytest.approx(found.best.score)


@pytest.mark.parametrize("budget", [1.0, 4.0])
def test_nothing_dearer_than_the_budget_is_tried(model, pairs, shots, budget):
    found = tune_prompt(model, pairs, shots[:3], budget=budget)
    assert {one.tokens <= budget for one in found.costs.values()} == {True}
    assert (budget == 1.0) is all(one.candidate.plain for one in found.ranking)
    with pytest.raises(TuningError, match=r"budget=0.5 is below .*: 1.00"):
        tune_prompt(model, pairs, shots[:3], budget=0.5)


def test_one_that_is_named_has_to_fit(model, pairs, shots):
    with pytest.raises(SettingError, match="no experts"):
        tune_prompt(model, pairs, shots[:1], techniques=["experts"])
    with pytest.raises(SettingError, match="none of two-layers"):
        tune_prompt(model, pairs, shots[:1], techniques=["nonsense"])
    fit_readout(model, ["A man sings.", "A dog runs."], "halved")
    with pytest.raises(SettingError, match="has a read-out already"):
        tune_prompt(model, pairs, shots[:1], techniques=["halved"])
    assert "has a read-out already" in tune_prompt(model, pairs, shots[:1]).skipped["halved"]


def test_read_outs_may_be_fitted_on_other_texts(model, pairs, shots):
    texts = ["A man sings.", "Rain falls.", "Two dogs run.", "Rain falls."]
    found = tune_prompt(model, pairs, shots[:1], techniques=["halved"], fit_texts=texts)
    assert found.fit_texts == texts[:3]
    best = next(one for one in found.ranking if one.candidate.plain)
    place = next(place for place, read in enumerate(best.reads) if read.readout)
    model.set_template(layer=best.reads[place].layer)
    fit_readout(model, texts, "halved")
    assert best.scores[place] == pytest.approx(spearman(model, pairs), abs=0.05)


def test_stopped_and_resumed_nothing_runs_twice(model, pairs, shots, tmp_path, monkeypatch):
    asked, real = [], Evaluator.score

    def score(self, candidate, start, stop):
        asked.append((candidate.key, start, stop))
        return real(self, candidate, start, stop)

    monkeypatch.setattr(Evaluator, "score", score)
    whole = tune_prompt(model, pairs, shots[:3], results=tmp_path / "whole.jsonl")
    pieces = len(asked)
    lines = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "cut.jsonl").write_bytes(b"".join(lines[: len(lines) // 2]) + lines[-1][:20])
    asked.clear()
    again = tune_prompt(model, pairs, shots[:3], results=tmp_path / "cut.jsonl")
    assert (again.rows(), again.provenance) == (whole.rows(), whole.provenance)
    assert len(asked) == pieces - (len(lines) // 2 - 1)


def test_the_front_holds_what_no_cheaper_setting_beats():
    def setting(tokens, dimension, score):
        return Setting(Candidate("", None), VectorRead(-1, "", dimension), score, TextCost(1, tokens))

    kept = [setting(1.0, 64, 60.0), setting(1.0, 128, 70.0), setting(2.0, 64, 65.0), setting(3.0, 128, 71.0)]
    beaten = [setting(1.0, 128, 69.0), setting(2.0, 128, 70.0), setting(2.5, 64, 65.0)]
    assert pareto_front([*beaten, *kept]) == kept


def test_another_document_of_a_query_is_no_wrong_answer():
    first, second = np.eye(3, dtype=np.float32)[[0, 0, 1]], np.eye(3, dtype=np.float32)[[2, 0, 1]]
    assert reciprocal_ranks(first, second).tolist() == pytest.approx([1 / 2.5, 1, 1])
    assert reciprocal_ranks(first, second, ["a", "a", "b"]).tolist() == pytest.approx([1 / 1.5, 1, 1])
