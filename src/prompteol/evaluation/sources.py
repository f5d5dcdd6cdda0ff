"""Read the tasks from a SentEval folder, from SemEval's STS folders as they are, or from the Hugging Face Hub."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from prompteol.errors import EvaluationError
from prompteol.evaluation.tasks import LabeledTexts, StsData, StsSubset, Task, TaskNotFoundError, TransferData
from prompteol.extras import check_extra
from prompteol.files.decoding import is_wide, utf8_lines

# STS13 is without SMT, whose license kept it out of SentEval and of every published figure.
_SUBSETS = {
    "STS12": ("MSRpar", "MSRvid", "SMTeuroparl", "surprise.OnWN", "surprise.SMTnews"),
    "STS13": ("FNWN", "headlines", "OnWN"),
    "STS14": ("deft-forum", "deft-news", "headlines", "images", "OnWN", "tweet-news"),
    "STS15": ("answers-forums", "answers-students", "belief", "headlines", "images"),
    "STS16": ("answer-answer", "headlines", "plagiarism", "postediting", "question-question"),
}
# In these an empty score marks a pair that nobody was asked to judge.
_PARTLY_JUDGED = frozenset({"STS15", "STS16"})
_TWO_CLASSES = {
    "MR": ("rt-polarity.pos", "rt-polarity.neg"),
    "CR": ("custrev.pos", "custrev.neg"),
    "SUBJ": ("subj.objective", "subj.subjective"),
    "MPQA": ("mpqa.pos", "mpqa.neg"),
}
# SentEval's own files of the other two may hold an empty example (CR's do), and SentEval scores it like any other.
_WITHOUT_BLANKS = frozenset({"MR", "SUBJ"})
_TREC_FILES = {"train": "TREC/train_5500.label", "test": "TREC/TREC_10.label"}
_TREC_LABELS = ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")


class _Table(NamedTuple):
    """Locate the columns of texts, and behind them that of the score or label, below so many lines of header."""

    file: str
    columns: tuple[int, ...]
    header: int = 0


_SCORED = {
    "STS-B": _Table("STS/STSBenchmark/sts-test.csv", (5, 6, 4)),
    "STS-B-dev": _Table("STS/STSBenchmark/sts-dev.csv", (5, 6, 4)),
    "SICK-R": _Table("SICK/SICK_test_annotated.txt", (1, 2, 3), header=1),
    "SICK-R-dev": _Table("SICK/SICK_trial.txt", (1, 2, 3), header=1),
}
_LABELED = {
    "SST2": {split: _Table(f"SST/binary/sentiment-{split}", (0, 1)) for split in ("train", "dev", "test")},
    "MRPC": {split: _Table(f"MRPC/msr_paraphrase_{split}.txt", (3, 4, 0), header=1) for split in ("train", "test")},
}


class SentEvalFolder:
    """Read tasks from a folder laid out as SentEval's ``data/downstream``; a damaged file is named with its line.

    The STS folders may lie in ``STS/`` or directly in ``folder``, as the raw SemEval releases do. Sentences are handed
    over as they stand in the files; what whitespace means is for the prompt template to say.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise EvaluationError(f"{str(folder)!r} is no folder; expected one like SentEval's data/downstream")

    def load(self, task: Task) -> StsData | TransferData:
        """Read one task, or raise :class:`TaskNotFoundError` naming the first file that is not there."""
        reader, name = _Reader(self.folder), task.name
        if name in _SUBSETS:
            return StsData([reader.subset(name, subset) for subset in _SUBSETS[name]], reader.parts)
        if name in _SCORED:
            return StsData([StsSubset(name, *reader.table(_SCORED[name]))], reader.parts)
        if name in _TWO_CLASSES:
            splits = {"all": reader.two_classes(name)}
        elif name == "TREC":
            splits = {split: reader.trec(file) for split, file in _TREC_FILES.items()}
        else:
            columns = {split: reader.table(table, ("0", "1")) for split, table in _LABELED[name].items()}
            splits = {split: LabeledTexts(tuple(texts), labels) for split, (*texts, labels) in columns.items()}
        return TransferData(splits, reader.parts)


class _Reader:
    """Read the files of one task; ``parts`` has the SHA-256 of each that was read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.parts: dict[str, str] = {}

    def subset(self, task: str, subset: str) -> StsSubset:
        pairs = self.open(f"STS/{task}-en-test/STS.input.{subset}.txt")
        scores = self.open(f"STS/{task}-en-test/STS.gs.{subset}.txt")
        if len(pairs) != len(scores):
            expected = f"expected one line for each of the {len(pairs)} pairs of {pairs.path.name}"
            raise scores.damaged(min(len(pairs), len(scores)), expected, f"{len(scores)} lines")
        judged = [number for number, score in enumerate(scores) if score.strip() or task not in _PARTLY_JUDGED]
        if not judged:
            raise scores.damaged(0, "expected at least one score")
        first, second = zip(*(pairs.cells(number, (0, 1)) for number in judged), strict=True)
        return StsSubset(subset, first, second, [scores.score(number, scores[number]) for number in judged])

    def table(self, table: _Table, labels: tuple[str, ...] = ()) -> list[Sequence[Any]]:
        """Return the columns of a table, the last one checked: labels where some are given, else scores."""
        lines = self.open(table.file, header=table.header)
        for number in range(table.header):
            cell = dict(enumerate(lines[number].split("\t"))).get(table.columns[-1], "")
            if cell.strip().replace(".", "", 1).isdigit():
                # What is passed over would be an example: a score or label, no name.
                raise lines.damaged(number, "expected the names of the columns")
        numbers = range(table.header, len(lines))
        *texts, last = zip(*(lines.cells(number, table.columns) for number in numbers), strict=True)
        values = [lines.label(*row, labels) if labels else lines.score(*row) for row in zip(numbers, last, strict=True)]
        return [*texts, values]

    def two_classes(self, task: str) -> LabeledTexts:
        one, other = (self.open(f"{task}/{name}", latin=True) for name in _TWO_CLASSES[task])
        for lines in (one, other) if task in _WITHOUT_BLANKS else ():
            lines.check_filled(lines, "a sentence")
        return LabeledTexts(([*one, *other],), [1] * len(one) + [0] * len(other))

    def trec(self, file: str) -> LabeledTexts:
        lines = self.open(file, latin=True)
        kinds, _, questions = zip(*(line.partition(" ") for line in lines), strict=True)
        labels = [lines.label(at, kind.partition(":")[0], _TREC_LABELS) for at, kind in enumerate(kinds)]
        lines.check_filled(questions, "'LABEL:detail question'")
        return LabeledTexts((questions,), labels)

    def open(self, file: str, *, latin: bool = False, header: int = 0) -> _Lines:
        for path in (self.folder / file, self.folder / file.removeprefix("STS/")):
            if path.is_file():
                content = path.read_bytes()
                self.parts[path.relative_to(self.folder).as_posix()] = hashlib.sha256(content).hexdigest()
                lines = _Lines(path, content, latin=latin)
                if len(lines) <= header:
                    raise lines.damaged(len(lines), "expected at least one example", "the end of the file")
                return lines
        raise TaskNotFoundError(f"{self.folder / file} is not there")


class _Lines(list[str]):
    """Hold the lines of one file, and say which of them is damaged."""

    def __init__(self, path: Path, content: bytes, *, latin: bool) -> None:
        self.path = path
        super().__init__(self._decode(content, latin=latin))

    def _decode(self, content: bytes, *, latin: bool) -> Iterator[str]:
        # Only \n ends a line: str.splitlines would also cut at the \x85 and U+2028 inside sentences.
        try:
            lines = [line.removesuffix(b"\n") for line in utf8_lines(BytesIO(content))]
        except UnicodeDecodeError as error:
            raise EvaluationError(f"{self.path}: damaged {error.encoding.upper()}: {error.reason}") from error
        for number, line in enumerate(lines):
            if b"\0" in line:
                raise self.damaged(number, "expected no NUL byte, as UTF-16 without a byte order mark has", repr(line))
            try:
                yield line.removesuffix(b"\r").decode()
            except UnicodeDecodeError as error:
                # A mark has said that the text is Unicode.
                if not latin or is_wide(content):
                    found = line.decode(errors="backslashreplace")
                    raise self.damaged(number, f"expected UTF-8 ({error.reason})", found) from None
                yield line.removesuffix(b"\r").decode("latin-1")

    def check_filled(self, texts: Sequence[str], expected: str) -> None:
        for number, text in enumerate(texts):
            if not text.strip():
                raise self.damaged(number, f"expected {expected}")

    def cells(self, number: int, columns: tuple[int, ...]) -> list[str]:
        cells = self[number].split("\t")
        if len(cells) <= max(columns) or not all(cells[column].strip() for column in columns):
            raise self.damaged(number, f"expected {max(columns) + 1} filled columns, parted by tabs")
        return [cells[column] for column in columns]

    def score(self, number: int, text: str) -> float:
        try:
            score = float(text)
        except ValueError:
            score = math.nan
        if not 0 <= score <= 5:
            raise self.damaged(number, "expected a score from 0 to 5", text)
        return score

    def label(self, number: int, text: str, labels: tuple[str, ...]) -> str:
        if text.strip() not in labels:
            raise self.damaged(number, f"expected one of the labels {', '.join(labels)}", text)
        return text.strip()

    def damaged(self, number: int, expected: str, found: str | None = None) -> EvaluationError:
        """Return the error; ``found`` is the line itself unless given."""
        shown = (self[number] if found is None else found)[:80]
        return EvaluationError(f"{self.path}, line {number + 1}: {expected}; found {shown!r}")


class _Split(NamedTuple):
    """Locate splits of a data set that are put end to end, and their columns."""

    dataset: str
    splits: tuple[str, ...]
    columns: tuple[str, ...] = ("text", "label")
    config: str | None = None
    revision: str | None = None


# The STS sets are the ones MTEB scores, at the revisions it pins: the original, cased text. Not its SICK-R: that is
# all 9,927 pairs of SICK, train and trial among them, where the paper and SentEval score the 4,927 of the test set.
_MTEB = {
    "STS12": ("mteb/sts12-sts", "a0d554a64d88156834ff5ae9920b964011b16384"),
    "STS13": ("mteb/sts13-sts", "7e90230a92c190f1bf69ae9002b8cea547a64cca"),
    "STS14": ("mteb/sts14-sts", "6031580fec1f6af667f0bd2da0a551cf4f0b2375"),
    "STS15": ("mteb/sts15-sts", "ae752c7c21bf194d8b67fd573edf7ae58183cbe3"),
    "STS16": ("mteb/sts16-sts", "4d8694f8f0e0100860b497b999b3dbed754a0513"),
    "STS-B": ("mteb/stsbenchmark-sts", "b0fddb56ed78048fa8b90373c8a3cfc37b684831"),
    "STS-B-dev": ("mteb/stsbenchmark-sts", "b0fddb56ed78048fa8b90373c8a3cfc37b684831"),
}
_SENTENCE = ("sentence", "label")
_PAIR = ("sentence1", "sentence2", "label")
_TRANSFER: dict[str, dict[str, _Split]] = {
    "MR": {"all": _Split("cornell-movie-review-data/rotten_tomatoes", ("train", "validation", "test"))},
    "CR": {"all": _Split("SetFit/CR", ("train", "test"))},
    "SUBJ": {"all": _Split("SetFit/subj", ("train", "test"))},
    "MPQA": {"all": _Split("jxm/mpqa", ("train", "test"), _SENTENCE)},
    # SentEval trains on the 67,349 phrases of GLUE's SST-2, whose own test labels are hidden.
    "SST2": {
        "train": _Split("stanfordnlp/sst2", ("train",), _SENTENCE),
        "dev": _Split("stanfordnlp/sst2", ("validation",), _SENTENCE),
        "test": _Split("SetFit/sst2", ("test",)),
    },
    "TREC": {split: _Split("SetFit/TREC-QC", (split,), ("text", "label_coarse")) for split in ("train", "test")},
    "MRPC": {
        "train": _Split("nyu-mll/glue", ("train", "validation"), _PAIR, config="mrpc"),
        "test": _Split("nyu-mll/glue", ("test",), _PAIR, config="mrpc"),
    },
}


class HubDatasets:
    """Read tasks from the Hub (or its local cache); needs ``pip install "prompteol[evaluation]"``.

    A data set that cannot be fetched counts as missing. STS text is the original one, so its scores equal those of a
    folder of raw SemEval files; SentEval's own tokenized text comes as an archive, see the documentation.
    """

    def load(self, task: Task) -> StsData | TransferData:
        """Read one task, or raise :class:`TaskNotFoundError` with the Hub's answer."""
        parts: dict[str, str] = {}
        if task.name in _MTEB:
            name, revision = _MTEB[task.name]
            split = "validation" if task.suite == "dev" else "test"
            source = _Split(name, (split,), ("sentence1", "sentence2", "score"), revision=revision)
            first, second, gold = _columns(source, parts)
            return StsData([StsSubset(task.name, first, second, [float(score) for score in gold])], parts)
        if task.name not in _TRANSFER:
            raise TaskNotFoundError(f"{task.name} is not on the Hub under a known name; give a SentEval folder")
        splits = {}
        for part, source in _TRANSFER[task.name].items():
            *sentences, labels = _columns(source, parts)
            splits[part] = LabeledTexts(tuple(sentences), labels)
        return TransferData(splits, parts)


def _columns(source: _Split, parts: dict[str, str]) -> list[Sequence[Any]]:
    check_extra("evaluation", "datasets")
    import datasets

    columns: list[Sequence[Any]] = [() for _ in source.columns]
    for split in source.splits:
        try:
            rows = datasets.load_dataset(source.dataset, source.config, split=split, revision=source.revision)
        except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
            # Offline, gated, gone: the messages of `datasets` are long, their first line says which.
            reason = str(error).strip().partition("\n")[0]
            raise TaskNotFoundError(f"{source.dataset} could not be fetched: {reason}") from error
        for name in source.columns:
            if name not in rows.column_names:
                there = f"its columns are {rows.column_names}"
                raise EvaluationError(f"{source.dataset} [{split}] has no column {name!r}; {there}")
        part = [list(rows[name]) for name in source.columns]
        revision = f"@{source.revision}" if source.revision else ""
        parts[f"{source.dataset}{revision} [{split}]"] = hashlib.sha256(json.dumps(part).encode()).hexdigest()
        columns = [[*before, *values] for before, values in zip(columns, part, strict=True)]
    return columns
