"""Find the files of a folder or a glob, on this machine through symbolic links, or behind a URL."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from glob import glob
from typing import NoReturn

from prompteol.corpus.storage import file_system, is_url
from prompteol.errors import CorpusError


def files_of_folder(name: str) -> list[str]:
    """Return all files below a folder except hidden ones, sorted by name."""
    if not is_url(name):
        return sorted(map(os.path.normpath, _walk(name)))
    system, path = file_system(name)
    found = [one for one in system.find(path) if "/." not in one.removeprefix(path.rstrip("/"))]
    return [system.unstrip_protocol(one) for one in sorted(found)]


def files_of_glob(name: str) -> list[str]:
    """Return all files that a pattern matches, sorted by name; ``**`` stands for folders of any depth."""
    if is_url(name):
        system, path = file_system(name)
        return [system.unstrip_protocol(one) for one in sorted(system.glob(path)) if system.isfile(one)]
    parts = os.path.normpath(name).split(os.sep)
    if "**" not in parts:
        return sorted(path for path in glob(name) if not os.path.isdir(path))
    # Unlike glob, the walk follows no loop of links.
    depth = parts.index("**")
    tops = glob(os.sep.join(parts[:depth]) or os.sep) if depth else [os.curdir]
    found = (os.path.normpath(path) for top in tops if os.path.isdir(top) for path in _walk(top))
    return sorted(path for path in found if _matches(path.split(os.sep), parts))


def _walk(folder: str) -> Iterator[str]:
    """Yield the files below a folder; links are followed, but each folder is entered once."""
    seen = {os.path.realpath(folder)}
    for top, folders, files in os.walk(folder, onerror=_refuse, followlinks=True):
        chosen = []
        for one in sorted(folders):
            place = os.path.realpath(os.path.join(top, one))
            if not one.startswith(".") and place not in seen:
                seen.add(place)
                chosen.append(one)
        # The list is changed in place: os.walk enters what remains in it.
        folders[:] = chosen
        yield from (os.path.join(top, one) for one in files if not one.startswith("."))


def _refuse(error: OSError) -> NoReturn:
    raise CorpusError(f"cannot read the folder {error.filename!r}: {error.strerror}") from error


def _matches(parts: list[str], pattern: list[str]) -> bool:
    """Tell whether the parts of a path match those of a pattern."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[start:], pattern[1:] or ["*"]) for start in range(len(parts)))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])
