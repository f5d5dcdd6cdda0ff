"""Show progress on stderr: a bar on a terminal, a line now and then elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from prompteol.cli import console
from prompteol.progress import Advance

# In seconds: short work prints nothing, and long work ends up with one line per minute.
_FIRST_LINE, _LONGEST_PAUSE = 10.0, 60.0


Report = Callable[..., None]
"""A function that shows one stage's progress: label, number done, total or None, unit, and a note.

Without a terminal, a new note is printed at once.
"""


def pace(done: int, total: int | None, unit: str, rate: float | None) -> str:
    """Describe how many are done, how fast, and how long the rest takes."""
    shown = f"{done:,} {unit}" if total is None else f"{done:,} of {total:,} {unit}"
    if rate:
        shown += f", {rate:,.0f}/s" if rate >= 10 else f", {rate:.2g}/s"
    if rate and total is not None and done < total:
        shown += f", {timedelta(seconds=round((total - done) / rate))} left"
    return shown


class Lines:
    """Print a line on stderr after ten seconds, then ever more rarely, at last every minute."""

    def __init__(self, clock: Callable[[], float] = lambda: time.monotonic()) -> None:
        self._clock = clock
        self._pause = _FIRST_LINE
        self._next = clock() + _FIRST_LINE

    def say(self, line: Callable[[], str], *, at_once: bool = False) -> None:
        """Print what ``line`` returns if a line is due, or at once."""
        now = self._clock()
        if now >= self._next:
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        elif not at_once:
            return
        self._next = now + self._pause
        console.note(line())


class _Pace(ProgressColumn):
    def render(self, task: Task) -> Text:
        total = None if task.total is None else int(task.total)
        return Text(pace(int(task.completed), total, task.fields["unit"], task.finished_speed or task.speed))


@contextmanager
def stages(*, hidden: bool = False) -> Iterator[Report]:
    """Show the stages of the work that are reported in the block; where ``hidden``, show nothing."""
    err = Console(stderr=True)
    if not err.is_terminal or hidden:
        yield (lambda *_, **__: None) if hidden else _report_lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), _Pace(), TextColumn("{task.fields[note]}"))
    with Progress(*columns, console=err) as bar:
        tasks: dict[str, TaskID] = {}

        def report(label: str, done: int, total: int | None, unit: str, note: str | None = None) -> None:
            if label not in tasks:
                tasks[label] = bar.add_task(escape(label), total=total, unit=unit, note="")
            bar.update(tasks[label], completed=done, total=total, note=escape(note or ""))

        yield report


@contextmanager
def progress(label: str, total: int | None, unit: str = "texts") -> Iterator[Advance]:
    """Show one stage of the work; a :class:`~prompteol.progress.Progress`."""
    with stages() as report, stage(report, label, total, unit) as advance:
        yield advance


@contextmanager
def stage(report: Report, label: str, total: int | None, unit: str = "texts") -> Iterator[Advance]:
    """Report one stage of the work among others."""
    done = 0
    report(label, done, total, unit)

    def advance(count: int) -> None:
        nonlocal done
        done += count
        report(label, done, total, unit)

    yield advance


def _report_lines() -> Report:
    lines, started, notes = Lines(), dict[str, float](), dict[str, str | None]()

    def report(label: str, done: int, total: int | None, unit: str, note: str | None = None) -> None:
        start = started.setdefault(label, time.monotonic())
        if not done and note is None:
            return

        def line() -> str:
            shown = f"{label}: {pace(done, total, unit, done / max(time.monotonic() - start, 1e-9))}"
            return f"{shown}; {note}" if note else shown

        lines.say(line, at_once=note != notes.get(label))
        notes[label] = note

    return report
