"""Print results on stdout and everything else on stderr."""

import csv
import errno
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import typer
from rich.console import Console
from rich.text import Text

from prompteol.errors import CorpusError

# The exit codes that shells use for every program; the first one is for a reader of stdout that went away.
READER_GONE, INTERRUPTED, TERMINATED = 141, 130, 143


class Terminated(KeyboardInterrupt):
    """Stop a command on SIGTERM, as Ctrl-C does."""


def is_terminal() -> bool:
    """Tell whether stdout is a terminal."""
    # rich's own answer changes with FORCE_COLOR, but a pipe must get the same lines everywhere.
    return sys.stdout.isatty()


@contextmanager
def stdout() -> Iterator[None]:
    """Flush stdout at the end of the block; raise CorpusError if it cannot be written, Exit if its reader is gone."""
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        # Python would try to write the rest of stdout's buffer again at exit. In tests stdout is no file.
        with suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
        if isinstance(error, BrokenPipeError):
            raise typer.Exit(READER_GONE) from None
        reason = "it is closed" if error.errno == errno.EBADF else error.strerror
        raise CorpusError(f"standard output cannot be written: {reason}") from error


class _Stdout(Console):
    def on_broken_pipe(self) -> None:
        """Raise for :func:`stdout` to handle; rich itself would exit with 1."""
        raise BrokenPipeError


def show(renderable: object) -> None:
    """Print a table or a text on stdout."""
    with stdout():
        _Stdout().print(renderable)


def echo(text: str) -> None:
    """Write a text to stdout as it is, ended by a newline."""
    with stdout():
        sys.stdout.write(text if text.endswith("\n") else text + "\n")


def rows(values: Iterable[Sequence[object]]) -> None:
    """Write tab-separated rows to stdout, quoted where a value holds a tab, a quote or a newline."""
    with stdout():
        csv.writer(sys.stdout, delimiter="\t", lineterminator="\n").writerows(values)


def cell(text: str) -> Text:
    """Make a table cell of a user's text: without markup, and with blanks in place of control characters."""
    return Text("".join(letter if letter.isprintable() else " " for letter in text))


def note(message: str) -> None:
    """Print a message on stderr."""
    Console(stderr=True).print(Text(message), soft_wrap=True, highlight=False)


def note_saved(folder: Path) -> None:
    """Say how a saved model is loaded."""
    note(f'{folder}: load it with SentenceTransformer("{folder}") or PromptEOL("{folder}")')


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, which is in the plural unless the number is 1."""
    return f"{count} {noun}{'s' * (count != 1)}"


def warning(message: str) -> None:
    """Warn on stderr, in one line."""
    Console(stderr=True).print(Text.assemble(("warning: ", "yellow"), message), soft_wrap=True)


def error(message: str) -> None:
    """Report a failure on stderr, in one line."""
    Console(stderr=True).print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)


@contextmanager
def when_stopped(left: str | None) -> Iterator[None]:
    """Report Ctrl-C or SIGTERM in the block in one line, unless ``left`` is None, and exit with its code."""
    try:
        yield
    except KeyboardInterrupt as signal:
        terminated = isinstance(signal, Terminated)
        if left is not None:
            error(f"{'terminated' if terminated else 'interrupted'}; {left}")
        raise typer.Exit(TERMINATED if terminated else INTERRUPTED) from None


@contextmanager
def waiting(message: str) -> Iterator[None]:
    """Show a spinner on stderr while the block runs, if stderr is a terminal."""
    err = Console(stderr=True)
    with err.status(message) if err.is_terminal else nullcontext():
        yield
