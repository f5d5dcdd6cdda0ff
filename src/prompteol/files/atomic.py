"""Write a file, or the folder of a saved model, atomically: under its name it is whole, or it is not there."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from prompteol.errors import CorpusError

# What the folder of a saved model holds, and that of an exported one.
_MANIFESTS = ("prompteol.json", "export.json")


def refuse_overwrite(path: Path, *, force: bool) -> None:
    """Refuse a path to which no file could be written, before any work is done."""
    if path.is_dir():
        raise CorpusError(f"output {str(path)!r} is a folder; give the name of a file in it")
    if not path.parent.is_dir():
        raise CorpusError(f"output folder {str(path.parent)!r} does not exist; make it first")
    if path.exists() and not force:
        raise CorpusError(f"output {str(path)!r} exists already; add --force to replace it")


@contextmanager
def atomic_write(path: Path, *, force: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, and move it to ``path`` when the block ends without an exception.

    On any exception, Ctrl-C included, the temporary file is removed and ``path`` stays as it was. A process killed
    outright leaves at most a hidden ``.NAME.XXXXXXXX.partial``. Without ``force``, a file that exists by then stays and
    the new one gets a name beside it, which the :class:`CorpusError` says.
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


def write_text(path: Path, text: str, *, force: bool = True) -> None:
    """Write a text file as :func:`atomic_write` does."""
    with atomic_write(path, force=force) as partial:
        partial.write_text(text, encoding="utf-8")


def _publish(partial: Path, path: Path, *, beside: Path) -> None:
    """Rename a file unless the name is taken; of two processes, one succeeds."""
    try:
        _link(partial, path)
    except FileExistsError:
        # What was written may be the work of hours.
        os.replace(partial, beside)
        taken = f"{str(path)!r} was written by somebody else meanwhile and is not replaced"
        raise CorpusError(f"{taken}; these results are in {str(beside)!r}") from None


def _link(partial: Path, path: Path) -> None:
    try:
        os.link(partial, path)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError, AttributeError):
        # FAT, some network drives and Android have no hard links: take the name first, then fill it.
        path.open("xb").close()
        os.replace(partial, path)


def check_folder(out: Path, *, force: bool) -> None:
    """Refuse a folder in which no model could be saved, before any work is done."""
    if not out.resolve().parent.is_dir():
        raise CorpusError(f"{str(out.parent)!r} does not exist; make it first")
    if out.exists() and not out.is_dir():
        raise CorpusError(f"{str(out)!r} is a file; name a folder to make")
    if not out.exists() or not any(out.iterdir()):
        return
    # --force must never empty a folder of something else.
    if not any((out / manifest).is_file() for manifest in _MANIFESTS):
        raise CorpusError(f"{str(out)!r} holds other files; name a folder that does not exist")
    if not force:
        raise CorpusError(f"{str(out)!r} is a saved model already; add --force to replace it")


@contextmanager
def atomic_folder(out: Path, *, force: bool) -> Iterator[Path]:
    """Yield a temporary folder beside ``out``, and move it to ``out`` when the block ends without an exception.

    Without ``force``, a model that was saved there meanwhile stays.
    """
    out = out.resolve()
    token = secrets.token_hex(4)
    partial, old = (out.with_name(f".{out.name}.{token}.{state}") for state in ("partial", "old"))
    try:
        yield partial
        if force and out.exists():
            os.replace(out, old)
        elif out.exists():
            # Refused where it is no longer empty.
            out.rmdir()
        os.replace(partial, out)
    except Exception as error:
        # tokenizers has no class of its own for a disk that is full.
        of_tokenizers = type(error) is Exception and "(os error " in str(error)
        if not of_tokenizers and not isinstance(error, (OSError, SafetensorError)):
            raise
        if not force and out.is_dir() and any(out.iterdir()):
            raise CorpusError(f"{str(out)!r} was made by somebody else meanwhile and is not replaced") from error
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise CorpusError(f"{str(out)!r} was not written: {reason}") from error
    finally:
        if old.exists() and not out.exists():
            os.replace(old, out)
        for leftover in (partial, old):
            shutil.rmtree(leftover, ignore_errors=True)
