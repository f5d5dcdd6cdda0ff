"""The command line, ``prompteol``: one file a command."""

__all__ = ["main"]

_TERMINATED = 143


def main() -> None:
    """Run the command line; the entry point of ``prompteol`` and ``python -m prompteol``."""
    import io
    import signal
    import sys
    import warnings

    from prompteol.cli import console
    from prompteol.cli.app import app

    # A scheduler's SIGTERM then unwinds like Ctrl-C, so that temporary files are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    if isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
        # Files are UTF-8, so pipes are, on Windows too.
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    warnings.showwarning = lambda message, *_: console.warning(str(message))
    app(prog_name="prompteol")
