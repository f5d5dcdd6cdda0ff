"""Where the command line speaks: results on stdout, everything else on stderr."""

from __future__ import annotations

import csv
import errno
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.text import Text

from prompteol.errors import CorpusError

__all__ = [
    "READER_GONE",
    "Terminated",
    "cell",
    "echo",
    "error",
    "is_terminal",
    "note",
    "rows",
    "show",
    "stdout",
    "waiting",
    "warning",
    "when_stopped",
]

INTERRUPTED, TERMINATED = 130, 143
READER_GONE = 141
"""What a command whose reader went away exits with, as a shell reports it of every program."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, which stops a command as Ctrl-C does."""


def is_terminal() -> bool:
    """Whether somebody reads stdout, rather than a program."""
    # Not rich's own answer, which FORCE_COLOR changes: a pipe must get the same lines everywhere.
    return sys.stdout.isatty()


@contextmanager
def stdout() -> Iterator[None]:
    """Write to stdout in the block, to the last byte; say in one line where that fails.

    Raises:
        CorpusError: it cannot be written.
        typer.Exit: whoever read it went away.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        _abandon()
        if isinstance(error, BrokenPipeError):
            raise typer.Exit(READER_GONE) from None
        reason = "it is closed" if error.errno == errno.EBADF else error.strerror
        raise CorpusError(f"standard output cannot be written: {reason}") from error


def _abandon() -> None:
    """Throw away what stdout still holds, which Python would try to write once more at the end."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except OSError:
        # A test's stdout is no file.
        return


class _Stdout(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to :func:`stdout`; rich's own exits with 1."""
        raise BrokenPipeError


def show(renderable: object) -> None:
    """Print a table or a text on stdout."""
    with stdout():
        _Stdout().print(renderable)


def echo(text: str) -> None:
    """Write a text on stdout as it is, and a newline unless it ends in one."""
    with stdout():
        sys.stdout.write(text if text.endswith("\n") else text + "\n")


def rows(values: Iterable[Sequence[object]]) -> None:
    """Write tab-separated rows on stdout, quoted where a value holds a tab, a quote or a newline."""
    with stdout():
        csv.writer(sys.stdout, delimiter="\t", lineterminator="\n").writerows(values)


def cell(text: str) -> Text:
    """Show a user's text as it is: no markup is read in it, and no control character reaches the terminal."""
    return Text("".join(letter if letter.isprintable() else " " for letter in text))


def note(message: str) -> None:
    """Say something on stderr."""
    Console(stderr=True).print(Text(message), soft_wrap=True, highlight=False)


def warning(message: str) -> None:
    """Warn on stderr, in one line."""
    _labeled("warning: ", "yellow", message)


def error(message: str) -> None:
    """Report a failure on stderr, in one line."""
    _labeled("error: ", "bold red", message)


def _labeled(label: str, style: str, message: str) -> None:
    Console(stderr=True).print(Text.assemble((label, style), message), soft_wrap=True)


@contextmanager
def when_stopped(left: str | None) -> Iterator[None]:
    """Report Ctrl-C or SIGTERM in the block in one line that says what is left, and exit with its code.

    ``None`` says nothing: one process of several speaks.
    """
    try:
        yield
    except KeyboardInterrupt as signal:
        terminated = isinstance(signal, Terminated)
        if left is not None:
            error(f"{'terminated' if terminated else 'interrupted'}; {left}")
        raise typer.Exit(TERMINATED if terminated else INTERRUPTED) from None


@contextmanager
def waiting(message: str) -> Iterator[None]:
    """Show a spinner on stderr, if somebody is there to see it, while the block runs."""
    err = Console(stderr=True)
    if not err.is_terminal:
        yield
        return
    with err.status(message):
        yield
