"""A search finds what trying everything finds, by the scores that ``encode`` gives, and makes the model it promises."""

import json

import numpy as np
import pytest
from scipy.stats import spearmanr
from sentence_transformers import SentenceTransformer

from prompteol import PromptEOL, PromptTemplate, RetrievalTemplate
from prompteol.data import ScoredPairs
from prompteol.errors import LayerError, TemplateError, TuningError
from prompteol.tuning.scoring import BLOCK


def spearman(model, pairs):
    first, second = (model.encode(list(side), normalize_embeddings=True) for side in (pairs.first, pairs.second))
    return 100 * spearmanr((first * second).sum(axis=1).round(6), pairs.scores).statistic


@pytest.fixture(scope="module")
def everything(tiny, pairs, shots, tune):
    """The exhaustive search: 13 prompts, 2 layers."""
    return tune(PromptEOL(tiny("llama", layers=2), device="cpu"), pairs, shots, exhaustive=True)


def test_every_score_is_that_of_encode(everything, tiny, pairs):
    for one in [*everything.ranking[:2], everything.baseline, everything.ranking[-1]]:
        for layer, score in zip(one.layers, one.scores, strict=True):
            alone = PromptEOL(tiny("llama", layers=2), template=one.candidate.template, layer=layer, device="cpu")
            assert score == pytest.approx(spearman(alone, pairs), abs=0.05)


def test_an_exhaustive_search_scores_all_on_all_pairs(everything, shots, pairs):
    assert len(everything.ranking) == len(shots) + 1
    assert {one.pairs for one in everything.ranking} == {len(pairs)}
    scores = [one.score for one in everything.ranking]
    assert scores == sorted(scores, reverse=True)
    assert everything.best.score - everything.baseline.score == pytest.approx(everything.gain.points)
    assert everything.gain.low <= everything.gain.points <= everything.gain.high


@pytest.mark.parametrize("seed", [0, 1])
def test_halving_lets_most_leave_early_and_scores_the_rest_alike(everything, model, pairs, shots, seed, tune):
    found = tune(model, pairs, shots, seed=seed)
    finalists = [one for one in found.ranking if one.pairs == len(pairs)]
    assert len(finalists) < len(found.ranking) == len(shots) + 1
    assert found.tokens.computed < everything.tokens.computed
    full = {one.candidate: one.score for one in everything.ranking}
    assert [one.score for one in finalists] == pytest.approx([full[one.candidate] for one in finalists], abs=1e-3)
    assert found.baseline in finalists


def test_the_model_stays_as_it_was_until_asked(everything, model, pairs, tmp_path, tune):
    before, fingerprint = model.encode("A man sings."), model.fingerprint()
    found = tune(model, pairs, [("A man sings.", "Music")], layers=[-1, 0.5])
    assert model.fingerprint() == fingerprint
    assert (model.encode("A man sings.") == before).all()

    everything.apply_to(model)
    assert (model.template, model.layer) == (everything.candidate.template, everything.layer)
    assert spearman(model, pairs) == pytest.approx(everything.best.score, abs=0.05)
    model.save_pretrained(tmp_path / "best")
    saved = SentenceTransformer(str(tmp_path / "best"), device="cpu")
    np.testing.assert_allclose(saved.encode("A dog runs."), model.encode("A dog runs."), atol=1e-5)
    provenance = json.loads((tmp_path / "best" / "prompteol.json").read_text())["provenance"]
    card = (tmp_path / "best" / "README.md").read_text()
    for text in (provenance["labels"], provenance["demonstrations"], card):
        assert "the human scores of 200 pairs (made.tsv)" in text
    assert {one.layer for one in found.ranking} <= {-1, -2}


def test_anchors_with_positives_need_no_scores(model, positives, shots, tune):
    found = tune(model, positives, shots[:4], exhaustive=True)
    plain = PromptEOL(model.module.transformer.model.name_or_path, template=found.candidate.template, device="cpu")
    plain.set_template(found.candidate.template, layer=found.layer)
    ordered = positives.nested(0)
    ranks = []
    for start in range(0, len(ordered), BLOCK):
        first, second = (plain.encode(list(side[start : start + BLOCK])) for side in (ordered.first, ordered.second))
        near = plain.similarity(first, second).numpy()
        ranks += [1 / (1 + int((row > row[number] + 1e-5).sum())) for number, row in enumerate(near)]
    assert found.best.score == pytest.approx(100 * np.mean(ranks), abs=1)
    assert "200 pairs without scores (anchors.tsv)" in found.provenance["labels"]


def test_a_pair_of_templates_asks_anchors_and_positives_each_in_its_own_way(model, positives, shots, tune):
    same, other = PromptTemplate('Passage: "', '". The word is: "'), PromptTemplate('Query: "', '". The word is: "')
    pair = RetrievalTemplate(query=other, document=same)
    found = tune(model, positives, shots[:1], templates=[pair, same], exhaustive=True)
    scores = {(one.candidate.name, bool(one.candidate.demonstrations)): one.scores for one in found.ranking}
    assert len(set(scores.values())) == 4
    assert "template" in found.provenance
    found.apply_to(model)
    assert model.template == found.candidate.template


def test_demonstrations_are_added_while_that_helps(everything, model, pairs, shots, tune):
    found = tune(model, pairs, shots, max_demonstrations=3, exhaustive=True)
    counts = {len(one.candidate.demonstrations) for one in found.ranking}
    assert {0, 1, 2} <= counts
    first = everything.candidate.demonstrations
    assert all(
        one.candidate.demonstrations[:1] == first for one in found.ranking if len(one.candidate.demonstrations) > 1
    )
    assert found.best.score >= everything.best.score


def test_a_gain_by_chance_is_said_to_be(model, pairs, shots, tune):
    shuffled = ScoredPairs(pairs.first, pairs.second, [*pairs.scores[7:], *pairs.scores[:7]], "shuffled")
    found = tune(model, shuffled, shots)
    assert found.gain.within_noise
    assert "within noise" in found.warning or "no demonstration helps" in found.warning


def test_requests_that_cannot_be_met(model, pairs, shots, tune):
    for wrong in ({"max_demonstrations": 0}, {"templates": []}, {"layers": []}):
        with pytest.raises(TuningError, match="nothing to compare"):
            tune(model, pairs, shots, **wrong)
    with pytest.raises(TuningError, match="nothing to compare"):
        tune(model, pairs, [])
    with pytest.raises(LayerError):
        tune(model, pairs, shots, layers=[-9])
    with pytest.raises(TemplateError, match="belongs to a template"):
        tune(model, pairs, [("It means in one word: dog", "Dog")])


def test_a_seed_that_the_end_could_not_use_is_refused_at_once(model, pairs, shots, tune):
    with pytest.raises(TuningError, match="seed=-1 is negative"):
        tune(model, pairs, shots, seed=-1)


def test_templates_of_one_wording_are_all_searched(model, pairs, shots, tune):
    plain, bare, with_bos = (
        PromptTemplate('One word for "', '":"', mode, bos=bos)
        for mode, bos in (("plain", None), ("none", None), ("none", True))
    )
    found = tune(model, pairs, shots[:1], templates=[plain, bare, plain, with_bos], layers=[-1])
    assert {one.candidate.bare for one in found.ranking} == {plain, bare, with_bos}
    wording = 'One word for "{text}":"'
    assert {one.candidate.name for one in found.ranking} == {wording, f"{wording} (none)", f"{wording} (none) 2"}
