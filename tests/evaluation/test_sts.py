"""STS scores equal a computation of the test's own, straight from the files."""

import math

import numpy as np
import pytest
from scipy.stats import rankdata

from prompteol.errors import EvaluationError, NonFiniteError
from prompteol.evaluation import SentEvalFolder, evaluate, load_benchmark
from prompteol.evaluation.scoring import paired_cosines, score_sts
from prompteol.evaluation.tasks import StsData, StsSubset


def spearman(x, y):
    """Pearson's correlation of the ranks, in percent."""
    return 100 * np.corrcoef(rankdata(x), rankdata(y))[0, 1]


def straight_from_files(folder, subsets, encoder):
    cosine, gold = [], []
    for subset in subsets:
        pairs = (folder / f"STS.input.{subset}.txt").read_text().rstrip("\n").split("\n")
        scores = (folder / f"STS.gs.{subset}.txt").read_text().split("\n")
        for pair, score in zip(pairs, scores, strict=False):
            if score:
                u, v = (encoder.vector(sentence) for sentence in pair.split("\t"))
                cosine.append(u @ v / np.sqrt((u @ u) * (v @ v)))
                gold.append(float(score))
    return cosine, gold


@pytest.mark.parametrize(
    ("task", "subsets"),
    [
        ("STS13", ["FNWN", "headlines", "OnWN"]),
        ("STS16", ["answer-answer", "headlines", "plagiarism", "postediting", "question-question"]),
    ],
)
def test_one_correlation_over_all_subsets(whole_senteval, encoder, task, subsets):
    benchmark = load_benchmark(SentEvalFolder(whole_senteval), [task])
    result = evaluate(encoder, benchmark, name="bag").scores[task]
    folder = whole_senteval / f"STS/{task}-en-test"
    cosine, gold = straight_from_files(folder, subsets, encoder)
    assert result.score == pytest.approx(spearman(cosine, gold), abs=0.01)
    assert result.examples == len(gold)
    by_subset = result.details["subsets"]
    assert by_subset[subsets[1]] == pytest.approx(
        spearman(*straight_from_files(folder, subsets[1:2], encoder)), abs=0.01
    )
    # The mean over subsets is another figure; were the two confused, this would show it.
    assert result.score != pytest.approx(np.mean(list(by_subset.values())), abs=0.01)


def pairs(*gold):
    return StsData([StsSubset("x", [f"a{n}" for n in range(len(gold))], [f"b{n}" for n in range(len(gold))], gold)], {})


def test_cosine_not_dot():
    vectors = {"a0": [1, 0], "b0": [5, 5], "a1": [1, 0], "b1": [1, 0], "a2": [1, 0], "b2": [0, 9]}
    score, _ = score_sts(pairs(2, 5, 0), lambda sentences: np.array([vectors[s] for s in sentences], dtype=float))
    assert score == pytest.approx(100)


def test_a_zero_row_has_cosine_zero():
    assert paired_cosines(np.array([[0.0, 0], [1, 0]]), np.array([[1.0, 1], [1, 0]])).tolist() == [0, 1]


def test_pairs_of_a_sentence_with_itself_tie():
    rows = np.random.default_rng(1).normal(size=(200, 31)).astype(np.float32)
    assert set(paired_cosines(rows, rows)) == {1.0}


def test_a_constant_encoder_has_no_correlation():
    with pytest.raises(EvaluationError, match="no rank correlation"):
        score_sts(pairs(1, 2, 3), lambda sentences: np.ones((len(sentences), 2)))


def test_a_subset_with_one_gold_score_has_none_of_its_own():
    data = StsData([*pairs(1, 2, 4).subsets, StsSubset("flat", ["c", "d"], ["e", "f"], [3, 3])], {})
    random = np.random.default_rng(0)
    score, by_subset = score_sts(data, lambda sentences: random.normal(size=(len(sentences), 4)))
    assert math.isfinite(score)
    assert by_subset["flat"] is None


def test_nan_is_an_error_and_never_similarity_zero(whole_senteval, encoder):
    class Broken(type(encoder)):
        def vector(self, sentence):
            return np.full(24, np.nan) if "guitar" in sentence else super().vector(sentence)

    benchmark = load_benchmark(SentEvalFolder(whole_senteval), ["sts-b"])
    with pytest.raises(NonFiniteError, match=r"guitar.*NaN"):
        evaluate(Broken(), benchmark, name="broken")
