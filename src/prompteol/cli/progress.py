"""Show progress on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from prompteol.cli import console
from prompteol.progress import Advance

__all__ = ["Lines", "pace", "progress"]

# Short work says nothing; a day's says a line a minute.
_FIRST_LINE, _LONGEST_PAUSE = 10.0, 60.0


def pace(done: int, total: int | None, unit: str, rate: float | None) -> str:
    """Say how many are done, how fast, and how long the rest takes."""
    said = f"{done:,} {unit}" if total is None else f"{done:,} of {total:,} {unit}"
    if not rate:
        return said
    said += f", {rate:,.0f}/s" if rate >= 10 else f", {rate:.2g}/s"
    if total is not None and done < total:
        said += f", {timedelta(seconds=round((total - done) / rate))} left"
    return said


class Lines:
    """Say a line on stderr, but seldom: after ten seconds, then ever more rarely, at last every minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pause = _FIRST_LINE
        self._next = clock() + _FIRST_LINE

    def say(self, line: Callable[[], str]) -> None:
        """Say what ``line`` gives, if it is time to."""
        now = self._clock()
        if now >= self._next:
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            self._next = now + self._pause
            console.note(line())


class _Pace(ProgressColumn):
    def render(self, task: Task) -> Text:
        total = None if task.total is None else int(task.total)
        return Text(pace(int(task.completed), total, task.fields["unit"], task.finished_speed or task.speed))


@contextmanager
def progress(label: str, total: int | None, unit: str = "texts") -> Iterator[Advance]:
    """Show a stage of the work, as a :class:`~prompteol.progress.Progress`."""
    err = Console(stderr=True)
    if not err.is_terminal:
        yield _lines(label, total, unit)
        return
    with Progress(TextColumn("{task.description}"), BarColumn(), _Pace(), console=err) as bar:
        task = bar.add_task(escape(label), total=total, unit=unit)
        yield lambda count: bar.advance(task, count)


def _lines(label: str, total: int | None, unit: str) -> Advance:
    lines, start, done = Lines(), time.monotonic(), 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        lines.say(lambda: f"{label}: {pace(done, total, unit, done / max(time.monotonic() - start, 1e-9))}")

    return advance
