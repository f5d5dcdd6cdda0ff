"""Transfer scores equal scikit-learn used directly, by SentEval's protocol written out a second time."""

import numpy as np
import pytest
import scipy.sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import StratifiedKFold

from prompteol.errors import EvaluationError
from prompteol.evaluation import TASKS, SentEvalFolder, evaluate, load_benchmark
from prompteol.evaluation.scoring import score_transfer
from prompteol.evaluation.tasks import LabeledTexts, TransferData


def load(folder, task):
    return SentEvalFolder(folder).load(TASKS[task])


def embed(encoder):
    return lambda sentences: np.array([encoder.vector(s) for s in sentences], dtype=np.float32)


def rows(examples):
    """SentEval's order: by number of words, then by label."""
    found = zip(*examples.columns, examples.labels, strict=True)
    return sorted(found, key=lambda row: (*(len(s.split()) for s in row[:-1]), str(row[-1]), row[:-1]))


def fit(c, x, y):
    """The optimum, by another solver than the one under test."""
    return LogisticRegression(C=c, solver="newton-cholesky", tol=1e-10, max_iter=500).fit(x.astype(np.float64), y)


def accuracy(c, x, y, x_test, y_test):
    return accuracy_score(y_test, fit(c, x, y).predict(x_test))


def folds(y, count=10):
    return StratifiedKFold(count, shuffle=True, random_state=1111).split(np.zeros(len(y)), y)


def best(grid, x, y, count=10):
    means = [np.mean([accuracy(c, x[a], y[a], x[b], y[b]) for a, b in folds(y, count)]) for c in grid]
    return grid[int(np.argmax(means))]


@pytest.mark.parametrize(("task", "outer", "inner"), [("MR", 10, 10), ("CR", 6, 5)])
def test_nested_cross_validation(whole_senteval, encoder, task, outer, inner):
    """A class of 6 examples has 6 folds, and 5 within each."""
    data = load(whole_senteval, task)
    ordered = rows(data.splits["all"])
    x = np.array([encoder.vector(sentence) for sentence, _ in ordered], dtype=np.float32)
    y = np.array([label for _, label in ordered])
    grid = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0]
    expected = []
    for train, test in folds(y, outer):
        c = best(grid, x[train], y[train], inner)
        expected.append(accuracy(c, x[train], y[train], x[test], y[test]))
    assert score_transfer(data, embed(encoder)).accuracy == pytest.approx(100 * np.mean(expected), abs=0.01)


def test_trec_chooses_c_on_train(whole_senteval, encoder):
    data = load(whole_senteval, "TREC")
    (x, y), (x_test, y_test) = (
        (np.array([encoder.vector(s) for s, _ in part], dtype=np.float32), np.array([label for _, label in part]))
        for part in (rows(data.splits["train"]), rows(data.splits["test"]))
    )
    c = best([0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0], x, y)
    result = score_transfer(data, embed(encoder))
    assert result.accuracy == pytest.approx(100 * accuracy(c, x, y, x_test, y_test), abs=0.01)
    assert (result.regularization, result.f1) == ([c], None)


def test_sst2_chooses_c_on_dev_and_trains_on_train_alone(whole_senteval, encoder):
    splits = load(whole_senteval, "SST2").splits
    parts = {}
    for name, examples in splits.items():
        ordered = rows(examples)
        parts[name] = (
            np.array([encoder.vector(s) for s, _ in ordered], dtype=np.float32),
            np.array([label for _, label in ordered]),
        )
    grid = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0]
    on_dev = [accuracy(c, *parts["train"], *parts["dev"]) for c in grid]
    c = grid[int(np.argmax(on_dev))]
    result = score_transfer(load(whole_senteval, "SST2"), embed(encoder))
    assert result.regularization == [c]
    assert result.dev_accuracy == pytest.approx(100 * max(on_dev), abs=0.01)
    assert result.accuracy == pytest.approx(100 * accuracy(c, *parts["train"], *parts["test"]), abs=0.01)


def test_mrpc_sees_differences_and_products(whole_senteval, encoder):
    data = load(whole_senteval, "MRPC")
    parts = []
    for name in ("train", "test"):
        ordered = rows(data.splits[name])
        u, v = (np.array([encoder.vector(row[side]) for row in ordered], dtype=np.float32) for side in (0, 1))
        parts.append((np.hstack([abs(u - v), u * v]), np.array([row[2] for row in ordered])))
    (x, y), (x_test, y_test) = parts
    c = best([0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0], x, y)
    predicted = fit(c, x, y).predict(x_test)
    result = score_transfer(data, embed(encoder))
    assert result.accuracy == pytest.approx(100 * accuracy_score(y_test, predicted), abs=0.01)
    assert result.f1 == pytest.approx(100 * f1_score(y_test, predicted, pos_label="1"), abs=0.01)


def test_the_order_of_a_source_does_not_show(whole_senteval, encoder):
    examples = load(whole_senteval, "CR").splits["all"]
    turned = LabeledTexts((examples.columns[0][::-1],), examples.labels[::-1])
    one, other = (score_transfer(TransferData({"all": each}, {}), embed(encoder)) for each in (examples, turned))
    assert one == other


def test_a_common_part_of_all_vectors_changes_nothing(whole_senteval, encoder):
    data = load(whole_senteval, "TREC")
    plain = score_transfer(data, embed(encoder))
    shifted = score_transfer(data, lambda sentences: embed(encoder)(sentences) + np.float32(50))
    assert shifted.accuracy == plain.accuracy
    assert shifted.dev_accuracy == pytest.approx(plain.dev_accuracy, abs=1e-9)


def test_sparse_features_score_as_dense_ones(whole_senteval, encoder):
    for task in ("MRPC", "SST2"):
        data = load(whole_senteval, task)
        dense = score_transfer(data, embed(encoder))
        sparse = score_transfer(data, lambda sentences: scipy.sparse.csr_matrix(embed(encoder)(sentences)))
        assert sparse.accuracy == pytest.approx(dense.accuracy, abs=0.01)


def test_one_example_of_a_label_is_too_few(encoder):
    data = TransferData({"all": LabeledTexts((["a", "b", "c"],), [0, 0, 1])}, {})
    with pytest.raises(EvaluationError, match="label 1 has one example"):
        score_transfer(data, embed(encoder))


def test_dev_accuracy_and_f1_are_among_the_details(whole_senteval, encoder):
    benchmark = load_benchmark(SentEvalFolder(whole_senteval), ["mrpc", "mr"])
    scores = evaluate(encoder, benchmark, name="bag").scores
    assert {"dev_accuracy", "C", "f1"} <= set(scores["MRPC"].details)
    assert len(scores["MR"].details["C"]) == 10
    assert (scores["MRPC"].examples, scores["MR"].examples) == (24, 60)
