"""Where the command line speaks: results on stdout, everything else on stderr."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

__all__ = ["INTERRUPTED", "cell", "error", "is_terminal", "note", "progress", "rows", "show", "waiting", "warning"]

INTERRUPTED = 130
"""What a command that Ctrl-C stopped exits with."""


def is_terminal() -> bool:
    """Whether somebody reads stdout, rather than a program."""
    # Not rich's own answer, which FORCE_COLOR changes: a pipe must get the same lines everywhere.
    return sys.stdout.isatty()


def show(renderable: object) -> None:
    """Print a table or a text on stdout."""
    Console().print(renderable)


def rows(values: Iterable[Sequence[object]]) -> None:
    """Write tab-separated rows on stdout, quoted where a value holds a tab, a quote or a newline."""
    csv.writer(sys.stdout, delimiter="\t", lineterminator="\n").writerows(values)


def cell(text: str) -> Text:
    """Show a user's text as it is: no markup is read in it, and no control character reaches the terminal."""
    return Text("".join(letter if letter.isprintable() else " " for letter in text))


def note(message: str) -> None:
    """Say something on stderr."""
    Console(stderr=True).print(Text(message), soft_wrap=True, highlight=False)


def warning(message: str) -> None:
    """Warn on stderr, in one line."""
    _labelled("warning: ", "yellow", message)


def error(message: str) -> None:
    """Report a failure on stderr, in one line."""
    _labelled("error: ", "bold red", message)


def _labelled(label: str, style: str, message: str) -> None:
    Console(stderr=True).print(Text.assemble((label, style), message), soft_wrap=True)


@contextmanager
def waiting(message: str) -> Iterator[None]:
    """Show a spinner on stderr, if somebody is there to see it, while the block runs."""
    err = Console(stderr=True)
    if not err.is_terminal:
        yield
        return
    with err.status(message):
        yield


@contextmanager
def progress(message: str, total: int | None) -> Iterator[Progress]:
    """Show a bar on stderr, if somebody is there to see it; its only task is ``progress.task_ids[0]``."""
    err = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("texts"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, disable=not err.is_terminal) as bar:
        bar.add_task(message, total=total)
        yield bar
