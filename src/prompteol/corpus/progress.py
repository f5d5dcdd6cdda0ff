"""Count rows and tokens while a corpus is embedded, and compute their rates."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

_COUNTED = ("rows", "rows_resumed", "tokens", "errors", "shards")


@dataclass(frozen=True)
class CorpusProgress:
    """Hold this run's counts: ``rows`` without the ``resumed`` ones, ``total`` as far as it is known, ``errors``."""

    rows: int = 0
    rows_resumed: int = 0
    total: int | None = None
    tokens: int = 0
    errors: int = 0
    shards: int = 0
    seconds: float = 0.0

    def metrics(self) -> dict[str, Any]:
        """Return all counts for a JSON file, with rates, and the peak memory of this process in bytes."""
        rate = self.rows / self.seconds if self.seconds else 0.0
        rows_left = None if self.total is None else max(0, self.total - self.rows - self.rows_resumed)
        left = 0.0 if rows_left == 0 else rows_left / rate if rows_left and rate else None
        tokens = self.tokens / self.seconds if self.seconds else 0.0
        rates = {"rows_per_second": rate, "tokens_per_second": tokens, "seconds_left": left}
        return {**asdict(self), **rates, "peak_memory_bytes": _peak_memory()}


@dataclass
class Meter:
    """Add up counts, and call the listener at most once in ``pause`` seconds."""

    total: int | None = None
    listener: Callable[[CorpusProgress], None] | None = None
    pause: float = 0.2
    _counts: Counter[str] = field(default_factory=Counter)
    _running: int = 0
    _began: float = field(default_factory=time.monotonic)
    _told: float = 0.0

    def count(self, **counts: int) -> None:
        """Add to the counts of :class:`CorpusProgress`."""
        self._counts.update(counts)
        self.tell()

    def batch(self, rows: int, tokens: int) -> None:
        """Count a forward pass."""
        self._running += rows
        self.count(rows=rows, tokens=tokens)

    def chunk(self, rows: int, errors: int) -> None:
        """Count a chunk of rows that was written; its forward passes are counted already."""
        rows, self._running = rows - self._running, 0
        self.count(rows=rows, errors=errors)

    def take_over(self, others: Iterable[CorpusProgress]) -> None:
        """Replace the counts by the sum of those of other processes."""
        self._counts.clear()
        for other in others:
            self._counts.update({name: getattr(other, name) for name in _COUNTED})
        self.tell()

    def progress(self) -> CorpusProgress:
        """Return the current counts."""
        counts = {name: self._counts[name] for name in _COUNTED}
        return CorpusProgress(**counts, total=self.total, seconds=time.monotonic() - self._began)

    def tell(self, *, at_once: bool = False) -> None:
        """Call the listener if it is time, or ``at_once``."""
        if self.listener is not None and (at_once or time.monotonic() - self._told >= self.pause):
            self._told = time.monotonic()
            self.listener(self.progress())


def _peak_memory() -> int | None:
    try:
        import resource
    except ImportError:
        return None
    import sys

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
