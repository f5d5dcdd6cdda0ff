"""Run the command line, ``prompteol``, whose files parse the arguments of a command and print its results."""

import io
import os
import signal
import sys
import warnings
from contextlib import suppress

__all__ = ["main"]


class _Stderr(io.TextIOWrapper):
    """Drop what cannot be written, as on a full disk: progress and messages never change how a command ends."""

    def write(self, text: str) -> int:
        """Write a text, or drop it."""
        with suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        """Flush what can be written."""
        with suppress(OSError):
            super().flush()


def main() -> None:
    """Run the command line; the entry point of ``prompteol`` and ``python -m prompteol``."""
    _open_closed_streams()
    if type(sys.stderr) is io.TextIOWrapper:
        err = sys.stderr
        sys.stderr = _Stderr(err.buffer, encoding=err.encoding, errors=err.errors, line_buffering=True)
    from prompteol.cli import console
    from prompteol.cli.app import app

    def terminate(*_: object) -> None:
        raise console.Terminated

    # A scheduler's SIGTERM then unwinds like Ctrl-C, so that temporary files are removed.
    signal.signal(signal.SIGTERM, terminate)
    if isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
        # Files are UTF-8, so pipes are, on Windows too.
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    warnings.showwarning = lambda message, *_: console.warning(str(message))
    app(prog_name="prompteol")


def _open_closed_streams() -> None:
    """Open a failing stream in place of each that the shell closed, as by ``>&-``.

    Python leaves ``None`` there, and the next file to be opened would get its number: an output could become stdout.
    """
    streams = (sys.stdin, sys.stdout, sys.stderr)
    for number, stream in enumerate(streams):
        if stream is None:
            # os.open takes the lowest free number. The file is not open for writing, so that writing fails.
            taken = os.open(os.devnull, os.O_RDONLY)
            if taken != number:
                os.dup2(taken, number)
                os.close(taken)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
