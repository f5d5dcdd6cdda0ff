"""Reading the tasks from the Hugging Face Hub by name, through ``datasets``."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prompteol.errors import EvaluationError
from prompteol.evaluation.tasks import LabeledTexts, StsData, StsSubset, Task, TaskNotFoundError, TransferData
from prompteol.extras import check_extra

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["HubDatasets"]


@dataclass(frozen=True)
class _Split:
    """Say where one split lies: a data set, its configuration, its splits put end to end, its columns."""

    dataset: str
    splits: tuple[str, ...]
    columns: tuple[str, ...]
    config: str | None = None
    revision: str | None = None


_SCORED = ("sentence1", "sentence2", "score")
_TEXT = ("text", "label")


def _mteb(name: str, revision: str, split: str = "test") -> _Split:
    return _Split(f"mteb/{name}-sts", (split,), _SCORED, revision=revision)


# The STS sets are the ones MTEB scores, at the revisions it pins: the original, cased text. Not its SICK-R: that is
# all 9,927 pairs of SICK, train and trial among them, where the paper and SentEval score the 4,927 of the test set.
_STS: dict[str, _Split] = {
    "STS12": _mteb("sts12", "a0d554a64d88156834ff5ae9920b964011b16384"),
    "STS13": _mteb("sts13", "7e90230a92c190f1bf69ae9002b8cea547a64cca"),
    "STS14": _mteb("sts14", "6031580fec1f6af667f0bd2da0a551cf4f0b2375"),
    "STS15": _mteb("sts15", "ae752c7c21bf194d8b67fd573edf7ae58183cbe3"),
    "STS16": _mteb("sts16", "4d8694f8f0e0100860b497b999b3dbed754a0513"),
    "STS-B": _mteb("stsbenchmark", "b0fddb56ed78048fa8b90373c8a3cfc37b684831"),
    "STS-B-dev": _mteb("stsbenchmark", "b0fddb56ed78048fa8b90373c8a3cfc37b684831", "validation"),
}
_TRANSFER: dict[str, dict[str, _Split]] = {
    "MR": {"all": _Split("cornell-movie-review-data/rotten_tomatoes", ("train", "validation", "test"), _TEXT)},
    "CR": {"all": _Split("SetFit/CR", ("train", "test"), _TEXT)},
    "SUBJ": {"all": _Split("SetFit/subj", ("train", "test"), _TEXT)},
    "MPQA": {"all": _Split("jxm/mpqa", ("train", "test"), ("sentence", "label"))},
    # SentEval trains on the 67,349 phrases of GLUE's SST-2, whose own test labels are hidden.
    "SST2": {
        "train": _Split("stanfordnlp/sst2", ("train",), ("sentence", "label")),
        "dev": _Split("stanfordnlp/sst2", ("validation",), ("sentence", "label")),
        "test": _Split("SetFit/sst2", ("test",), _TEXT),
    },
    "TREC": {split: _Split("SetFit/TREC-QC", (split,), ("text", "label_coarse")) for split in ("train", "test")},
    "MRPC": {
        split: _Split("nyu-mll/glue", sources, ("sentence1", "sentence2", "label"), config="mrpc")
        for split, sources in {"train": ("train", "validation"), "test": ("test",)}.items()
    },
}


class HubDatasets:
    """Read tasks from the Hub (or its local cache); needs ``pip install "prompteol[evaluation]"``.

    A data set that cannot be fetched counts as missing; one without the expected columns is a
    :class:`~prompteol.errors.EvaluationError`. STS text is the original one, so its scores equal those of a folder
    of raw SemEval files; SentEval's own tokenized text comes as an archive, see the documentation.
    """

    def load(self, task: Task) -> StsData | TransferData:
        """Read one task, or raise :class:`TaskNotFoundError` with what the Hub said."""
        parts: dict[str, str] = {}
        if task.name in _STS:
            first, second, gold = _columns(_STS[task.name], parts)
            return StsData([StsSubset(task.name, first, second, [float(score) for score in gold])], parts)
        if task.name not in _TRANSFER:
            raise TaskNotFoundError(f"{task.name} is not on the Hub under a known name; give a SentEval folder")
        splits = {}
        for name, split in _TRANSFER[task.name].items():
            *sentences, labels = _columns(split, parts)
            splits[name] = LabeledTexts(tuple(sentences), labels)
        return TransferData(splits, parts)


def _columns(source: _Split, parts: dict[str, str]) -> list[Sequence[Any]]:
    columns: list[list[Any]] = [[] for _ in source.columns]
    for split in source.splits:
        rows = _load(source, split)
        absent = [name for name in source.columns if name not in rows.column_names]
        if absent:
            raise EvaluationError(
                f"{source.dataset} [{split}] has no column {absent[0]!r}; its columns are {rows.column_names}"
            )
        part = [list(rows[name]) for name in source.columns]
        revision = f"@{source.revision}" if source.revision else ""
        parts[f"{source.dataset}{revision} [{split}]"] = hashlib.sha256(json.dumps(part).encode()).hexdigest()
        for column, values in zip(columns, part, strict=True):
            column.extend(values)
    return list(columns)


def _load(source: _Split, split: str) -> Any:
    check_extra("evaluation", "datasets")
    import datasets

    try:
        return datasets.load_dataset(source.dataset, source.config, split=split, revision=source.revision)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        # Offline, gated, gone: the messages of `datasets` are long, their first line says which.
        reason = str(error).strip().partition("\n")[0]
        raise TaskNotFoundError(f"{source.dataset} could not be fetched: {reason}") from error
