"""Turn what damaged or unreadable files of a model raise into one line that names them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError

from prompteol.errors import ModelError, PromptEOLError

__all__ = ["check_permission", "reading"]

_READ = {".bin", ".jinja", ".json", ".md", ".model", ".safetensors", ".txt"}
# What json, safetensors, transformers and sentence-transformers raise at a file that is cut, empty or of another type.
_DAMAGE = (AttributeError, IndexError, KeyError, OSError, RuntimeError, SafetensorError, TypeError, ValueError)


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Name the model whose files are being read, should one of them be damaged.

    Raises:
        ModelError: one is.
    """
    try:
        yield
    except (PromptEOLError, torch.OutOfMemoryError, ImportError):
        raise
    except _DAMAGE as error:
        said = " ".join(str(error).split())[:300]
        raise ModelError(
            f"{name!r} cannot be read, so a file of it is damaged or missing ({type(error).__name__}: {said}); copy or "
            "save the model anew"
        ) from error


def check_permission(path: str | Path) -> None:
    """Make sure that a folder and what is read of a model in it may be read, or that a file may.

    transformers says of a file that it may not open that there is none.

    Raises:
        ModelError: permission is denied.
    """
    path = Path(path)
    looked = [path]
    if path.is_dir() and os.access(path, os.R_OK | os.X_OK):
        looked += [file for file in path.iterdir() if file.suffix in _READ or file.is_dir()]
    for file in looked:
        wanted = os.R_OK | os.X_OK if file.is_dir() and file == path else os.R_OK
        if not os.access(file, wanted):
            raise ModelError(
                f"{str(file)!r}: Permission denied; its owner can open it to you with: chmod -R a+rX {str(path)!r}"
            )
