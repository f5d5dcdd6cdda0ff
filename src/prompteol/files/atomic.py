"""A file appears under its name when it is whole, or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prompteol.errors import CorpusError

__all__ = ["atomic_write", "refuse_overwrite"]


def refuse_overwrite(path: Path, *, force: bool) -> None:
    """Raise :class:`CorpusError` where a file could not be written to ``path``, before any work is done."""
    if path.is_dir():
        raise CorpusError(f"output {str(path)!r} is a folder; give the name of a file in it")
    if not path.parent.is_dir():
        raise CorpusError(f"output folder {str(path.parent)!r} does not exist; make it first")
    if path.exists() and not force:
        raise CorpusError(f"output {str(path)!r} exists already; add --force to replace it")


@contextmanager
def atomic_write(path: Path, *, force: bool = True) -> Iterator[Path]:
    """Lend a temporary path in the folder of ``path`` and move it there once the block has ended well.

    On any exception, Ctrl-C included, the temporary file is removed and ``path`` stays as it was. A process
    killed outright leaves at most a hidden ``.NAME.XXXXXXXX.partial``, never a half file under the name.

    Args:
        path: the file to write.
        force: replace a file that is there by then. Without it such a file stays, and what was written lies beside it.

    Raises:
        CorpusError: the file was not written; with the reason.
    """
    token = secrets.token_hex(4)
    partial = path.with_name(f".{path.name}.{token}.partial")
    try:
        partial.touch()
        mode = partial.stat().st_mode
        yield partial
        # safetensors writes for the owner alone, whatever the umask.
        partial.chmod(mode & 0o777)
        with partial.open("r+b") as written:
            os.fsync(written.fileno())
        if force:
            os.replace(partial, path)
        else:
            _publish(partial, path, beside=path.with_name(f"{path.stem}.{token}{path.suffix}"))
    except OSError as error:
        raise CorpusError(f"{str(path)!r} was not written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _publish(partial: Path, path: Path, *, beside: Path) -> None:
    """Give a file its name unless another has it; two processes never both succeed."""
    try:
        _link(partial, path)
    except FileExistsError:
        # It may be the work of hours.
        os.replace(partial, beside)
        raise CorpusError(
            f"{str(path)!r} was written by somebody else meanwhile and is not replaced; these results are in "
            f"{str(beside)!r}"
        ) from None


def _link(partial: Path, path: Path) -> None:
    try:
        os.link(partial, path)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError, AttributeError):
        # FAT, some network drives and Android have no hard links: take the name first, then fill it.
        path.open("xb").close()
        os.replace(partial, path)
