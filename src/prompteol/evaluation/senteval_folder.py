"""Reading the tasks from a SentEval ``downstream`` folder, or from SemEval's STS folders as they are."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path

from prompteol.errors import EvaluationError
from prompteol.evaluation.tasks import LabeledTexts, StsData, StsSubset, Task, TaskNotFoundError, TransferData

__all__ = ["SentEvalFolder"]

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
_STS_BENCHMARK = {"STS-B": "sts-test.csv", "STS-B-dev": "sts-dev.csv"}
_SICK = {"SICK-R": "SICK_test_annotated.txt", "SICK-R-dev": "SICK_trial.txt"}
_TWO_CLASSES = {
    "MR": ("rt-polarity.pos", "rt-polarity.neg"),
    "CR": ("custrev.pos", "custrev.neg"),
    "SUBJ": ("subj.objective", "subj.subjective"),
    "MPQA": ("mpqa.pos", "mpqa.neg"),
}
# SentEval's own files of the other two may hold an empty example (CR's do), and SentEval scores it like any other.
_WITHOUT_BLANKS = frozenset({"MR", "SUBJ"})
_TREC_LABELS = ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")


class SentEvalFolder:
    """Read tasks from a folder laid out as SentEval's ``data/downstream``.

    The STS folders may lie in ``STS/`` or directly in ``folder``, as the raw SemEval releases do. Sentences
    are handed over as they stand in the files; what whitespace means is for the prompt template to say.

    Raises:
        EvaluationError: ``folder`` is no folder, or (from :meth:`load`) a file is damaged: file and line are named.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise EvaluationError(f"{str(folder)!r} is no folder; expected one like SentEval's data/downstream")

    def load(self, task: Task) -> StsData | TransferData:
        """Read one task, or raise :class:`TaskNotFoundError` naming the first file that is not there."""
        parts: dict[str, str] = {}
        data = self._read(task.name, parts)
        return StsData(data, parts) if isinstance(data, list) else TransferData(data, parts)

    def _read(self, task: str, parts: dict[str, str]) -> list[StsSubset] | dict[str, LabeledTexts]:
        if task in _SUBSETS:
            return [self._sts_subset(task, subset, parts) for subset in _SUBSETS[task]]
        if task in _STS_BENCHMARK:
            return [self._scored_table(task, f"STS/STSBenchmark/{_STS_BENCHMARK[task]}", (5, 6, 4), 0, parts)]
        if task in _SICK:
            return [self._scored_table(task, f"SICK/{_SICK[task]}", (1, 2, 3), 1, parts)]
        if task in _TWO_CLASSES:
            return {"all": self._two_classes(task, parts)}
        if task == "SST2":
            return {s: self._sst(f"SST/binary/sentiment-{s}", parts) for s in ("train", "dev", "test")}
        if task == "TREC":
            files = {"train": "TREC/train_5500.label", "test": "TREC/TREC_10.label"}
            return {split: self._trec(file, parts) for split, file in files.items()}
        files = {split: f"MRPC/msr_paraphrase_{split}.txt" for split in ("train", "test")}
        return {split: self._mrpc(file, parts) for split, file in files.items()}

    def _sts_subset(self, task: str, subset: str, parts: dict[str, str]) -> StsSubset:
        pairs = self._open(f"STS/{task}-en-test/STS.input.{subset}.txt", parts)
        scores = self._open(f"STS/{task}-en-test/STS.gs.{subset}.txt", parts)
        if len(pairs) != len(scores):
            expected = f"expected one line for each of the {len(pairs)} pairs of {pairs.path.name}"
            raise scores.damaged(min(len(pairs), len(scores)), expected, f"{len(scores)} lines")
        may_be_blank = task in _PARTLY_JUDGED
        judged = [number for number, score in enumerate(scores.text) if score.strip() or not may_be_blank]
        if not judged:
            raise scores.damaged(0, "expected at least one score", scores.text[0])
        cells = [pairs.cells(number, (0, 1)) for number in judged]
        gold = [scores.score(number, scores.text[number]) for number in judged]
        return StsSubset(subset, [first for first, _ in cells], [second for _, second in cells], gold)

    def _scored_table(
        self, task: str, file: str, columns: tuple[int, int, int], header: int, parts: dict[str, str]
    ) -> StsSubset:
        table = self._open(file, parts, header=header)
        table.check_header(header, columns[2])
        rows = [table.cells(number, columns) for number in range(header, len(table))]
        gold = [table.score(number, score) for number, (*_, score) in enumerate(rows, start=header)]
        return StsSubset(task, [row[0] for row in rows], [row[1] for row in rows], gold)

    def _two_classes(self, task: str, parts: dict[str, str]) -> LabeledTexts:
        one, other = (self._open(f"{task}/{name}", parts, latin=True) for name in _TWO_CLASSES[task])
        if task in _WITHOUT_BLANKS:
            one.check_sentences()
            other.check_sentences()
        return LabeledTexts(([*one.text, *other.text],), [1] * len(one) + [0] * len(other))

    def _sst(self, file: str, parts: dict[str, str]) -> LabeledTexts:
        table = self._open(file, parts)
        rows = [table.cells(number, (0, 1)) for number in range(len(table))]
        labels = [table.label(number, label, ("0", "1")) for number, (_, label) in enumerate(rows)]
        return LabeledTexts(([sentence for sentence, _ in rows],), labels)

    def _trec(self, file: str, parts: dict[str, str]) -> LabeledTexts:
        table = self._open(file, parts, latin=True)
        sentences, labels = [], []
        for number, line in enumerate(table.text):
            label, _, question = line.partition(" ")
            coarse = table.label(number, label.partition(":")[0], _TREC_LABELS)
            if not question.strip():
                raise table.damaged(number, "expected 'LABEL:detail question'", line)
            labels.append(coarse)
            sentences.append(question)
        return LabeledTexts((sentences,), labels)

    def _mrpc(self, file: str, parts: dict[str, str]) -> LabeledTexts:
        table = self._open(file, parts, header=1)
        table.check_header(1, 0)
        rows = [table.cells(number, (3, 4, 0)) for number in range(1, len(table))]
        labels = [table.label(number, label, ("0", "1")) for number, (*_, label) in enumerate(rows, start=1)]
        return LabeledTexts(([row[0] for row in rows], [row[1] for row in rows]), labels)

    def _open(self, file: str, parts: dict[str, str], *, latin: bool = False, header: int = 0) -> _Lines:
        for path in (self.folder / file, self.folder / file.removeprefix("STS/")):
            if path.is_file():
                content = path.read_bytes()
                parts[path.relative_to(self.folder).as_posix()] = hashlib.sha256(content).hexdigest()
                lines = _Lines(path, content, latin=latin)
                if len(lines) <= header:
                    raise lines.damaged(len(lines), "expected at least one example", "the end of the file")
                return lines
        raise TaskNotFoundError(f"{self.folder / file} is not there")


class _Lines:
    """Hold the lines of one file, and say which of them is damaged."""

    def __init__(self, path: Path, content: bytes, *, latin: bool) -> None:
        self.path = path
        self.text = list(self._decode(content, latin=latin))

    def __len__(self) -> int:
        return len(self.text)

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
        cells = self.text[number].split("\t")
        if len(cells) <= max(columns) or not all(cells[column].strip() for column in columns):
            expected = f"expected {max(columns) + 1} filled columns, parted by tabs"
            raise self.damaged(number, expected, self.text[number])
        return [cells[column] for column in columns]

    def check_header(self, lines: int, column: int) -> None:
        """Make sure that the lines that are passed over hold no example: names, not a score or label."""
        for number in range(lines):
            cell = dict(enumerate(self.text[number].split("\t"))).get(column, "")
            if cell.strip().replace(".", "", 1).isdigit():
                raise self.damaged(number, "expected the names of the columns", self.text[number])

    def check_sentences(self) -> None:
        for number, line in enumerate(self.text):
            if not line.strip():
                raise self.damaged(number, "expected a sentence", line)

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

    def damaged(self, number: int, expected: str, found: str) -> EvaluationError:
        return EvaluationError(f"{self.path}, line {number + 1}: {expected}; found {found[:80]!r}")
