"""Scoring transfer tasks as SentEval does: logistic regression on frozen embeddings.

SentEval's protocol (Conneau and Kiela, 2018, and its ``tools/validation.py``), with scikit-learn:

- *all* (MR, CR, SUBJ, MPQA): 10 stratified folds; within each training part C is chosen by 10 inner folds
  from 2^-2 ... 2^3, and the accuracies of the outer folds are averaged.
- *train, test* (TREC, MRPC): C is chosen by 10 folds of train from 2^-1 ... 2^5.
- *train, dev, test* (SST2): C is chosen on dev from 2^-2 ... 2^3.

A pair of sentences u, v has the features ``|u - v|`` and ``u * v``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV, PredefinedSplit, StratifiedKFold
from threadpoolctl import threadpool_limits

from prompteol.errors import EvaluationError
from prompteol.evaluation.tasks import LabeledTexts, TransferData

__all__ = ["TransferScore", "score_transfer"]

_FOLDS = 10
_SEED = 1111
_C = [2.0**t for t in range(-2, 4)]
_C_WITH_TEST_SET = [2.0**t for t in range(-1, 6)]


@dataclass(frozen=True)
class TransferScore:
    """Hold accuracies in percent, on test and on dev (or the inner folds), F1 for two labels, and each C."""

    accuracy: float
    dev_accuracy: float
    regularization: list[float]
    f1: float | None = None


def score_transfer(data: TransferData, embed: Callable[[Sequence[str]], Any]) -> TransferScore:
    """Train and test the classifiers of a task.

    ``embed`` is called once, with every sentence of the task, and returns one row each, dense or sparse.
    Folds are shuffled with SentEval's seed, 1111. A data set so small that a label has fewer than 10 examples
    gets fewer folds; with fewer than 2 it is a :class:`~prompteol.errors.EvaluationError`.
    """
    splits = _features(data, embed)
    # One BLAS thread and several fits at a time: on matrices this small the threads of BLAS mostly wait.
    with (
        threadpool_limits(1, user_api="blas"),
        joblib.parallel_config("threading", n_jobs=joblib.cpu_count()),
    ):
        if "all" in splits:
            return _nested_folds(*splits["all"])
        return _split(splits) if "dev" in splits else _folds_of_train(splits)


def _nested_folds(x: Any, y: NDArray[Any]) -> TransferScore:
    accuracy, dev, chosen = [], [], []
    for train, test in _folds(y).split(np.zeros(len(y)), y):
        search = _search(_C, _folds(y[train])).fit(x[train], y[train])
        accuracy.append(search.score(x[test], y[test]))
        dev.append(search.best_score_)
        chosen.append(search.best_params_["C"])
    return TransferScore(100 * float(np.mean(accuracy)), 100 * float(np.mean(dev)), chosen)


def _folds_of_train(splits: dict[str, tuple[Any, NDArray[Any]]]) -> TransferScore:
    x, y = splits["train"]
    search = _search(_C_WITH_TEST_SET, _folds(y)).fit(x, y)
    x_test, y_test = splits["test"]
    predicted = search.predict(x_test)
    labels = search.classes_
    return TransferScore(
        accuracy=100 * float(np.mean(predicted == y_test)),
        dev_accuracy=100 * float(search.best_score_),
        regularization=[search.best_params_["C"]],
        f1=100 * float(f1_score(y_test, predicted, pos_label=labels[1])) if len(labels) == 2 else None,
    )


def _split(splits: dict[str, tuple[Any, NDArray[Any]]]) -> TransferScore:
    (x, y), (x_dev, y_dev), (x_test, y_test) = (splits[name] for name in ("train", "dev", "test"))
    on_dev = PredefinedSplit([-1] * len(y) + [0] * len(y_dev))
    search = _search(_C, on_dev, refit=False).fit(_stack([x, x_dev]), np.concatenate([y, y_dev]))
    # Not a refit on train and dev together: SentEval trains on train alone.
    best = _classifier(**search.best_params_).fit(x, y)
    return TransferScore(
        accuracy=100 * float(best.score(x_test, y_test)),
        dev_accuracy=100 * float(search.best_score_),
        regularization=[search.best_params_["C"]],
    )


def _features(data: TransferData, embed: Callable[[Sequence[str]], Any]) -> dict[str, tuple[Any, NDArray[Any]]]:
    splits = {name: _sorted(examples) for name, examples in data.splits.items()}
    embeddings = embed(TransferData(splits, {}).sentences())
    features, start = {}, 0
    for name, examples in splits.items():
        columns = []
        for column in examples.columns:
            columns.append(embeddings[start : start + len(column)])
            start += len(column)
        features[name] = (_pair_features(*columns), np.array(examples.labels))
    return _centered(features)


def _centered(splits: dict[str, tuple[Any, NDArray[Any]]]) -> dict[str, tuple[Any, NDArray[Any]]]:
    """Move dense features to mean zero. The optimum stays: the intercept is not regularized and makes up for it.

    Hidden states after one prompt share most of their length, and with that common part every solver crawls.
    """
    if any(scipy.sparse.issparse(x) for x, _ in splits.values()):
        return splits
    mean = np.concatenate([x for x, _ in splits.values()]).mean(axis=0, dtype=np.float64)
    return {name: (x - mean.astype(x.dtype), y) for name, (x, y) in splits.items()}


def _sorted(examples: LabeledTexts) -> LabeledTexts:
    # SentEval sorts by length and label before it deals out the folds. By text, too, and the order in which a
    # source lists its examples no longer shows in the score.
    rows = sorted(
        zip(*examples.columns, examples.labels, strict=True),
        key=lambda row: (*(len(sentence.split()) for sentence in row[:-1]), str(row[-1]), row[:-1]),
    )
    *columns, labels = zip(*rows, strict=True)
    return LabeledTexts(tuple(columns), labels)


def _pair_features(first: Any, second: Any = None) -> Any:
    if second is None:
        return first
    product = first.multiply(second) if scipy.sparse.issparse(first) else first * second
    return _stack([abs(first - second), product], axis=1)


def _stack(parts: list[Any], *, axis: int = 0) -> Any:
    if not scipy.sparse.issparse(parts[0]):
        return np.concatenate(parts, axis=axis)
    return scipy.sparse.vstack(parts, "csr") if axis == 0 else scipy.sparse.hstack(parts, "csr")


def _folds(labels: NDArray[Any]) -> StratifiedKFold:
    names, counts = np.unique(labels, return_counts=True)
    if counts.min() < 2:
        rarest = names[counts.argmin()]
        raise EvaluationError(f"label {rarest} has one example where cross-validation needs at least two")
    return StratifiedKFold(min(_FOLDS, int(counts.min())), shuffle=True, random_state=_SEED)


def _search(grid: list[float], folds: Any, *, refit: bool = True) -> GridSearchCV:
    return GridSearchCV(_classifier(), {"C": grid}, cv=folds, refit=refit)


def _classifier(**parameters: float) -> LogisticRegression:
    # newton-cg to 1e-5 predicts what the exact optimum does, for the price of lbfgs at its default 1e-4, which
    # differs in up to 1.3% of the predictions.
    return LogisticRegression(solver="newton-cg", tol=1e-5, max_iter=1000, **parameters)
