"""A file appears under its name when it is whole, or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prompteol.errors import CorpusError

__all__ = ["refuse_overwrite", "replace_when_done"]


def refuse_overwrite(path: Path, *, force: bool) -> None:
    """Raise :class:`CorpusError` where a file could not be written to ``path``, before any work is done."""
    if path.is_dir():
        raise CorpusError(f"output {str(path)!r} is a folder; give the name of a file in it")
    if not path.parent.is_dir():
        raise CorpusError(f"output folder {str(path.parent)!r} does not exist; make it first")
    if path.exists() and not force:
        raise CorpusError(f"output {str(path)!r} exists already; add --force to replace it")


@contextmanager
def replace_when_done(path: Path) -> Iterator[Path]:
    """Lend a temporary path in the folder of ``path`` and move it there once the block has ended well.

    On any exception, Ctrl-C included, the temporary file is removed and ``path`` stays as it was. A process
    killed outright leaves at most a hidden ``.NAME.XXXXXXXX.partial``, never a half file under the name.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        partial.touch()
        mode = partial.stat().st_mode
        yield partial
        # safetensors writes for the owner alone, whatever the umask.
        partial.chmod(mode & 0o777)
        with partial.open("r+b") as written:
            os.fsync(written.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise CorpusError(f"{str(path)!r} was not written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
