"""Log each finished slice of pairs as a line on disk, so that tuning resumes after a kill."""

import base64
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from prompteol.errors import CorpusError, TuningError
from prompteol.locks import ProcessLock
from prompteol.techniques.registry import describe_technique
from prompteol.tuning.candidates import Candidate
from prompteol.tuning.evaluator import PromptScores, VectorRead

_FORMAT = 2


class _Slice(NamedTuple):
    """Name what was asked of a candidate."""

    prompt: str
    start: int
    stop: int
    readouts: str  # that it was scored with, too


class ResultsLog:
    """Keep what each candidate gave for each slice of the pairs, in memory where ``path`` is None.

    A line is appended and flushed to the disk as soon as a slice is done. A last line that a kill cut short is dropped,
    and its slice is run again. A file that is ``about`` another tuning run is a TuningError. What was asked with other
    ``readouts`` is another slice.
    """

    def __init__(self, path: Path | None, about: Mapping[str, Any]) -> None:
        self._known: dict[_Slice, PromptScores] = {}
        self._about = {"prompteol-tuning": _FORMAT, **about}
        self._used: set[_Slice] = set()
        self._path = path
        self._file: BinaryIO | None = None
        self._lock: ProcessLock | None = None
        if path is None:
            return
        try:
            if path.exists() and not path.is_file():
                raise CorpusError(f"results {str(path)!r} is no file; name one")
            # Not "ab": what a kill left of a last line is cut off.
            self._file = path.open("r+b" if path.exists() else "x+b")
            self._lock = ProcessLock(path.with_name(f".{path.name}.lock"))
            if not self._lock.take():
                raise CorpusError(f"another process tunes into {str(path)!r}: wait for it, or name another file")
            self._read(self._file)
        except Exception as error:
            self.close()
            if isinstance(error, OSError):
                raise CorpusError(f"results {str(path)!r}: {error.strerror or error}") from error
            raise

    def get(self, candidate: Candidate, start: int, stop: int, readouts: str = "") -> PromptScores | None:
        """Return the scores of a slice, if the log has them."""
        asked = _Slice(candidate.key, start, stop, readouts)
        self._used.add(asked)
        return self._known.get(asked)

    def add(self, candidate: Candidate, start: int, stop: int, scores: PromptScores, readouts: str = "") -> None:
        """Add the scores of a slice, on disk before this returns."""
        done = _Slice(candidate.key, start, stop, readouts)
        self._known[done] = scores
        self._used.add(done)
        self._append(
            {
                "prompt": candidate.key,
                "template": candidate.name,
                "demonstrations": [[one.sentence, one.word] for one in candidate.demonstrations],
                "technique": candidate.technique and describe_technique(candidate.technique),
                "pairs": [start, stop],
                "readouts": readouts,
                "reads": [list(read) for read in scores.reads],
                "tokens": scores.tokens,
                "values": base64.b64encode(scores.values.astype("<f4").tobytes()).decode("ascii"),
            }
        )

    @property
    def tokens(self) -> int:
        """Tokens computed for the slices that this run used, by earlier runs too."""
        return sum(self._known[key].tokens for key in self._used if key in self._known)

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None:
            # A line that could not be written is tried once more, and was reported.
            with suppress(OSError):
                file.close()
        if self._lock is not None:
            self._lock.release()

    def _read(self, file: BinaryIO) -> None:
        # What follows the last newline was never finished.
        *whole, rest = file.read().split(b"\n")
        if not whole and not _line(self._about).startswith(rest):
            raise self._no_log(1)
        for number, line in enumerate(whole, start=1):
            try:
                record = json.loads(line)
                if number == 1:
                    self._check(record)
                    continue
                start, stop = record["pairs"]
                values = np.frombuffer(base64.b64decode(record["values"], validate=True), "<f4")
                reads = tuple(VectorRead(int(layer), str(name), int(size)) for layer, name, size in record["reads"])
                done = _Slice(record["prompt"], start, stop, record["readouts"])
                self._known[done] = PromptScores(values.reshape(len(reads), stop - start), record["tokens"], reads)
            except (ValueError, KeyError, TypeError) as error:
                if isinstance(error, TuningError):
                    raise
                raise self._no_log(number) from error
        file.seek(sum(len(line) + 1 for line in whole))
        file.truncate()
        if not whole:
            self._append(self._about)

    def _check(self, record: Any) -> None:
        if not isinstance(record, dict) or "prompteol-tuning" not in record:
            raise self._no_log(1)
        other = [name for name in self._about if record.get(name) != self._about[name]]
        if other:
            what = f"another {', '.join(other)}"
            raise TuningError(f"results {str(self._path)!r} belong to another run: {what}. Name another file")

    def _no_log(self, line: int) -> TuningError:
        return TuningError(f"{str(self._path)!r}, line {line}: not the results of tuning; name another file")

    def _append(self, record: Mapping[str, Any]) -> None:
        if self._file is None:
            return
        try:
            self._file.write(_line(record))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise CorpusError(f"results {str(self._path)!r} were not written: {error.strerror or error}") from error


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"
