"""Find the folder of a model by the file system alone, so that a wrong path is told before any library loads."""

from __future__ import annotations

import os
from pathlib import Path

from prompteol.errors import ModelError, ModelNotFoundError

MANIFEST = "prompteol.json"
ADAPTER = "adapter_config.json"

_GGUF = ".gguf"
# A folder with one of these holds another model than the GGUF file beside it.
_OTHER_MODELS = ("config.json", MANIFEST, "modules.json", ADAPTER)
_READ = {".bin", ".jinja", ".json", ".md", ".model", ".safetensors", ".txt"}


def locate_model(name: str | Path, gguf_file: str | None = None) -> tuple[str, str | None]:
    """Return a model's folder, or its name on the Hub, and the name of its GGUF file if it is one.

    Raises:
        ModelError: the name is no string, a file may not be read, or several GGUF files are to choose from.
        ModelNotFoundError: what can only be a path leads nowhere, or to a file.
    """
    if not isinstance(name, (str, os.PathLike)):
        raise ModelError(f"model {name!r:.60} is {type(name).__name__}: give a folder, or a name on the Hub")
    path = Path(name).expanduser()
    # Not the methods of Path, which raise where a name is too long to be one.
    if path.suffix == _GGUF and os.path.isfile(path):
        return str(path.parent), path.name
    if os.path.isdir(path):
        _check_permission(path)
        return str(path), gguf_file or _only_gguf(path)
    if os.path.isfile(path):
        raise ModelNotFoundError(f"{str(name)!r} is a file: give the folder that holds config.json, or a .gguf file")
    if path.is_absolute() or str(name).startswith((".", "~")) or str(name).count("/") > 1:
        raise ModelNotFoundError(f"no such folder: {str(name)!r}")
    return str(name), gguf_file


def _only_gguf(folder: Path) -> str | None:
    """Return the name of the GGUF file of a folder that holds no other model; ModelError where there are several."""
    if any((folder / name).exists() for name in _OTHER_MODELS):
        return None
    found = sorted(path.name for path in folder.glob(f"*{_GGUF}"))
    if len(found) > 1:
        raise ModelError(f"{str(folder)!r} holds {', '.join(found)}: choose one with gguf_file=..., or give its path")
    return found[0] if found else None


def _check_permission(folder: Path) -> None:
    """Refuse a folder, or what is read of a model in it, that may not be read: transformers says there is none."""
    looked = [folder]
    if os.access(folder, os.R_OK | os.X_OK):
        looked += [file for file in folder.iterdir() if file.suffix in _READ or file.is_dir()]
    for file in looked:
        if not os.access(file, os.R_OK | os.X_OK if file == folder else os.R_OK):
            raise ModelError(
                f"{str(file)!r}: Permission denied; its owner can open it to you with: chmod -R a+rX {str(folder)!r}"
            )
