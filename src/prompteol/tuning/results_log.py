"""The results of a search on disk: one line for each finished piece of work, so that a killed search goes on."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from prompteol.errors import CorpusError, TuningError
from prompteol.tuning.candidate import Candidate
from prompteol.tuning.evaluator import PromptScores

__all__ = ["ResultsLog"]

_FORMAT = 1


class ResultsLog:
    """Remember what each candidate gave for each slice of the pairs.

    A line is appended and flushed to the disk as soon as a slice is done. A last line that a kill cut short is
    dropped, and its slice is run again.

    Args:
        path: made if missing; ``None`` remembers in memory only.
        about: what the results hold for. A file about something else is refused.

    Raises:
        SearchError: the file belongs to another search, or is none.
        CorpusError: it cannot be read or written.
    """

    def __init__(self, path: Path | None, about: Mapping[str, Any]) -> None:
        self._known: dict[tuple[str, int, int], PromptScores] = {}
        self._about = {"prompteol-search": _FORMAT, **about}
        self._path = path
        self._file: BinaryIO | None = None
        self.resumed = 0
        self._asked: dict[tuple[str, int, int], int] = {}
        if path is None:
            return
        try:
            if path.exists() and not path.is_file():
                raise CorpusError(f"results {str(path)!r} is no file; name one")
            # Not "ab": what a kill left of a last line is cut off.
            self._file = path.open("r+b" if path.exists() else "x+b")
            self._read(self._file)
        except OSError as error:
            self.close()
            raise CorpusError(f"results {str(path)!r}: {error.strerror or error}") from error
        except (CorpusError, TuningError):
            self.close()
            raise

    def get(self, candidate: Candidate, start: int, stop: int) -> PromptScores | None:
        """Return what is known of a slice."""
        known = self._known.get((candidate.key, start, stop))
        if known is not None:
            self._asked[candidate.key, start, stop] = known.tokens
        return known

    def add(self, candidate: Candidate, start: int, stop: int, judgement: PromptScores) -> None:
        """Remember a slice, on disk before this returns."""
        self._known[candidate.key, start, stop] = judgement
        self._asked[candidate.key, start, stop] = judgement.tokens
        self._append(
            {
                "prompt": candidate.key,
                "template": candidate.name,
                "demonstrations": [[one.sentence, one.word] for one in candidate.demonstrations],
                "pairs": [start, stop],
                "tokens": judgement.tokens,
                "values": base64.b64encode(judgement.values.astype("<f4").tobytes()).decode("ascii"),
            }
        )

    @property
    def tokens(self) -> int:
        """Computed for the slices that this search asked for, by earlier runs too."""
        return sum(self._asked.values())

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None:
            # A line that could not be written is tried once more, and was reported.
            with suppress(OSError):
                file.close()

    def __enter__(self) -> ResultsLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, file: BinaryIO) -> None:
        lines = file.read().split(b"\n")
        # What follows the last newline was never finished.
        whole = lines[:-1]
        if not whole and not _line(self._about).startswith(lines[0]):
            raise self._foreign(1)
        for number, line in enumerate(whole, start=1):
            try:
                self._take(json.loads(line), first=number == 1)
            except (ValueError, KeyError, TypeError) as error:
                if isinstance(error, TuningError):
                    raise
                raise self._foreign(number) from error
        file.seek(sum(len(line) + 1 for line in whole))
        file.truncate()
        if not whole:
            self._append(self._about)

    def _take(self, record: dict[str, Any], *, first: bool) -> None:
        if first:
            self._check(record)
            return
        start, stop = record["pairs"]
        values = np.frombuffer(base64.b64decode(record["values"], validate=True), "<f4")
        values = values.reshape(len(self._about["layers"]), stop - start)
        self._known[record["prompt"], start, stop] = PromptScores(values, record["tokens"])
        self.resumed += 1

    def _check(self, record: dict[str, Any]) -> None:
        if not isinstance(record, dict) or "prompteol-search" not in record:
            raise self._foreign(1)
        other = [name for name in self._about if record.get(name) != self._about[name]]
        if other:
            raise TuningError(
                f"results {str(self._path)!r} belong to another search: another {', '.join(other)}. Name another file, "
                "or remove this one"
            )

    def _foreign(self, line: int) -> TuningError:
        return TuningError(f"{str(self._path)!r}, line {line}: not the results of a search; name another file")

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
