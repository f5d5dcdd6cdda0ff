"""A folder for a saved model: checked first, and there when it is whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from prompteol.errors import CorpusError

__all__ = ["atomic_folder", "check_folder"]

_MANIFEST = "prompteol.json"


def check_folder(out: Path, *, force: bool) -> None:
    """Raise :class:`CorpusError` where no model could be saved, before any work is done."""
    if not out.resolve().parent.is_dir():
        raise CorpusError(f"{str(out.parent)!r} does not exist; make it first")
    if not out.exists():
        return
    if not out.is_dir():
        raise CorpusError(f"{str(out)!r} is a file; name a folder to make")
    if not any(out.iterdir()):
        return
    # --force must never empty a folder of something else.
    if not (out / _MANIFEST).is_file():
        raise CorpusError(f"{str(out)!r} holds other files; name a folder that does not exist")
    if not force:
        raise CorpusError(f"{str(out)!r} is a saved model already; add --force to replace it")


@contextmanager
def atomic_folder(out: Path, *, force: bool) -> Iterator[Path]:
    """Lend a temporary folder beside ``out`` and move it there once the block has ended well.

    Without ``force`` a model that somebody saved there meanwhile stays.
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
    except (OSError, SafetensorError) as error:
        if not force and out.is_dir() and any(out.iterdir()):
            raise CorpusError(f"{str(out)!r} was made by somebody else meanwhile and is not replaced") from error
        said = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise CorpusError(f"{str(out)!r} was not written: {said}") from error
    finally:
        if old.exists() and not out.exists():
            os.replace(old, out)
        for leftover in (partial, old):
            shutil.rmtree(leftover, ignore_errors=True)
