"""Read the tasks from a SentEval ``downstream`` folder, or from SemEval's STS folders as they are."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from prompteol.errors import EvaluationError
from prompteol.evaluation.tasks import LabeledTexts, StsData, StsSubset, Task, TaskNotFoundError, TransferData

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

    def table(self, table: _Table, labels: tuple[str, ...] = ()) -> list[list[Any]]:
        """Return the columns of a table, the last one checked: labels where some are given, else scores."""
        lines = self.open(table.file, header=table.header)
        for number in range(table.header):
            cell = dict(enumerate(lines[number].split("\t"))).get(table.columns[-1], "")
            if cell.strip().replace(".", "", 1).isdigit():
                # What is passed over would be an example: a score or label, no name.
                raise lines.damaged(number, "expected the names of the columns")
        numbers = range(table.header, len(lines))
        *texts, last = zip(*(lines.cells(number, table.columns) for number in numbers), strict=True)
        checked = zip(numbers, last, strict=True)
        values = [lines.label(at, text, labels) if labels else lines.score(at, text) for at, text in checked]
        return [*map(list, texts), values]

    def two_classes(self, task: str) -> LabeledTexts:
        one, other = (self.open(f"{task}/{name}", latin=True) for name in _TWO_CLASSES[task])
        for lines in (one, other) if task in _WITHOUT_BLANKS else ():
            for number, line in enumerate(lines):
                if not line.strip():
                    raise lines.damaged(number, "expected a sentence")
        return LabeledTexts(([*one, *other],), [1] * len(one) + [0] * len(other))

    def trec(self, file: str) -> LabeledTexts:
        lines = self.open(file, latin=True)
        sentences, labels = [], []
        for number, line in enumerate(lines):
            label, _, question = line.partition(" ")
            labels.append(lines.label(number, label.partition(":")[0], _TREC_LABELS))
            sentences.append(question)
            if not question.strip():
                raise lines.damaged(number, "expected 'LABEL:detail question'")
        return LabeledTexts((sentences,), labels)

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
        lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
        for number, line in enumerate(lines if lines[-1] else lines[:-1]):
            try:
                yield line.removesuffix(b"\r").decode()
            except UnicodeDecodeError as error:
                if not latin:
                    found = line.decode(errors="backslashreplace")
                    raise self.damaged(number, f"expected UTF-8 ({error.reason})", found) from None
                yield line.removesuffix(b"\r").decode("latin-1")

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
        found = self[number] if found is None else found
        return EvaluationError(f"{self.path}, line {number + 1}: {expected}; found {found[:80]!r}")
