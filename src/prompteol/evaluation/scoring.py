"""Score tasks as SentEval does: STS by one rank correlation, transfer by logistic regression on frozen embeddings.

The protocol is that of Conneau and Kiela (2018) and their ``tools/validation.py``; see ``docs/evaluation.md``.
"""

import warnings
from dataclasses import dataclass
from itertools import chain
from typing import Any

import joblib
import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV, PredefinedSplit, StratifiedKFold
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from prompteol.errors import EvaluationError
from prompteol.evaluation.tasks import Embed, LabeledTexts, StsData, TransferData

_Splits = dict[str, tuple[Any, NDArray[Any]]]

_FOLDS = 10
_SEED = 1111  # SentEval's
_C = [2.0**t for t in range(-2, 4)]
_C_WITH_TEST_SET = [2.0**t for t in range(-1, 6)]


@dataclass(frozen=True)
class TransferScore:
    """Hold accuracies in percent, on test and on dev (or the inner folds), F1 for two labels, and each C."""

    accuracy: float
    dev_accuracy: float
    regularization: list[float]
    f1: float | None = None


def score_sts(data: StsData, embed: Embed) -> tuple[float, dict[str, float | None]]:
    """Return Spearman x 100 over all subsets concatenated (paper, Section 4), and of each subset or None."""
    embeddings = embed(data.sentences())
    half = embeddings.shape[0] // 2
    similarity = paired_cosines(embeddings[:half], embeddings[half:])
    gold = np.array([*chain.from_iterable(subset.gold for subset in data.subsets)])
    score = _spearman(similarity, gold)
    if score is None:
        raise EvaluationError("no rank correlation exists: all cosines, or all gold scores, are the same")
    ends = np.cumsum([len(subset.gold) for subset in data.subsets])[:-1]
    parts = zip(data.subsets, np.split(similarity, ends), np.split(gold, ends), strict=True)
    return score, {subset.subset: _spearman(*scores) for subset, *scores in parts}


def paired_cosines(first: Any, second: Any) -> NDArray[np.float64]:
    """Return the cosine of each row of one matrix with the same row of the other; 0 where a row is zero."""
    left, right = (normalize(side.astype(np.float64)) for side in (first, second))
    product = left.multiply(right) if hasattr(left, "multiply") else left * right
    # Rounded above float64's noise, so that pairs of one sentence with itself tie at 1 on every machine.
    return np.round(np.asarray(product.sum(axis=1), dtype=np.float64).ravel(), 12)


def _spearman(similarity: NDArray[np.float64], gold: NDArray[np.float64]) -> float | None:
    if np.ptp(similarity) == 0 or np.ptp(gold) == 0:
        return None
    return 100 * float(spearmanr(similarity, gold).statistic)


def score_transfer(data: TransferData, embed: Embed) -> TransferScore:
    """Train and test the classifiers of a task; a label with fewer than 10 examples makes fewer folds."""
    splits = _features(data, embed)
    # One BLAS thread and several fits at a time: on matrices this small the threads of BLAS mostly wait.
    with (
        threadpool_limits(1, user_api="blas"),
        joblib.parallel_config("threading", n_jobs=joblib.cpu_count()),
        warnings.catch_warnings(),
    ):
        # Where float32 allows no further step, scikit-learn below 1.8 warns and stops there; later ones just stop.
        warnings.filterwarnings("ignore", "(?i)(the )?line search (algorithm did not converge|failed)")
        if "all" in splits:
            return _nested_folds(*splits["all"])
        return _split(splits) if "dev" in splits else _folds_of_train(splits)


def _nested_folds(x: Any, y: NDArray[Any]) -> TransferScore:
    """Average the accuracies of 10 folds; within each training part, 10 inner folds choose C."""
    found = []
    for train, test in _folds(y).split(np.zeros(len(y)), y):
        search = _search(_C, _folds(y[train])).fit(x[train], y[train])
        found.append((search.score(x[test], y[test]), search.best_score_, search.best_params_["C"]))
    accuracy, dev, regularization = zip(*found, strict=True)
    return TransferScore(100 * float(np.mean(accuracy)), 100 * float(np.mean(dev)), list(regularization))


def _folds_of_train(splits: _Splits) -> TransferScore:
    (x, y), (x_test, y_test) = splits["train"], splits["test"]
    search = _search(_C_WITH_TEST_SET, _folds(y)).fit(x, y)
    predicted = search.predict(x_test)
    _, *positive = search.classes_
    f1 = 100 * float(f1_score(y_test, predicted, pos_label=positive[0])) if len(positive) == 1 else None
    return _score(search, np.mean(predicted == y_test), f1)


def _split(splits: _Splits) -> TransferScore:
    (x, y), (x_dev, y_dev), (x_test, y_test) = (splits[name] for name in ("train", "dev", "test"))
    both = scipy.sparse.vstack([x, x_dev], "csr") if scipy.sparse.issparse(x) else np.concatenate([x, x_dev])
    on_dev = PredefinedSplit([-1] * len(y) + [0] * len(y_dev))
    search = _search(_C, on_dev, refit=False).fit(both, np.concatenate([y, y_dev]))
    # Not a refit on train and dev together: SentEval trains on train alone.
    return _score(search, _classifier(**search.best_params_).fit(x, y).score(x_test, y_test))


def _score(search: GridSearchCV, accuracy: float, f1: float | None = None) -> TransferScore:
    return TransferScore(100 * float(accuracy), 100 * float(search.best_score_), [search.best_params_["C"]], f1)


def _features(data: TransferData, embed: Embed) -> _Splits:
    splits = {name: _sorted(examples) for name, examples in data.splits.items()}
    embeddings = embed(TransferData(splits).sentences())
    features, start = {}, 0
    for name, examples in splits.items():
        count = len(examples.labels)
        columns = [embeddings[at : at + count] for at in range(start, start + count * len(examples.columns), count)]
        start += count * len(columns)
        features[name] = (_pair_features(*columns), np.array(examples.labels))
    if scipy.sparse.issparse(embeddings):
        return features
    # Moved to mean zero, which leaves the optimum where it is: the intercept is not regularized and makes up for it.
    # Hidden states after one prompt share most of their length, and with that common part every solver crawls.
    mean = np.concatenate([x for x, _ in features.values()]).mean(axis=0, dtype=np.float64)
    return {name: (x - mean.astype(x.dtype), y) for name, (x, y) in features.items()}


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
    if scipy.sparse.issparse(first):
        return scipy.sparse.hstack([abs(first - second), first.multiply(second)], "csr")
    return np.hstack([abs(first - second), first * second])


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
