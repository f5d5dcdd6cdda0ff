"""Write the folder of a saved model atomically: under its name it is whole, or it is not there."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from prompteol.errors import CorpusError

_MANIFEST = "prompteol.json"


def check_folder(out: Path, *, force: bool) -> None:
    """Refuse a folder in which no model could be saved, before any work is done."""
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
    except (OSError, SafetensorError) as error:
        if not force and out.is_dir() and any(out.iterdir()):
            raise CorpusError(f"{str(out)!r} was made by somebody else meanwhile and is not replaced") from error
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise CorpusError(f"{str(out)!r} was not written: {reason}") from error
    finally:
        if old.exists() and not out.exists():
            os.replace(old, out)
        for leftover in (partial, old):
            shutil.rmtree(leftover, ignore_errors=True)
