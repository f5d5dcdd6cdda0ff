"""Write files whole or not at all to a local folder, or to any file system that fsspec knows."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from prompteol.errors import CorpusError, PromptEOLError

__all__ = ["Folder", "LocalFolder", "RemoteFolder", "file_system", "is_url", "open_folder", "said_in_one_line"]

WORK = ".parts"
"""Holds what is unfinished, and goes when the corpus is whole; readers of Parquet pass over names with a dot."""


class Folder(Protocol):
    """A place for the files of one corpus; a name may hold one ``/``, as in ``.parts/000001.json``."""

    location: str

    def exists(self, name: str) -> bool:
        """Tell whether a file is there, whole."""

    def read(self, name: str) -> bytes:
        """Return the bytes of a file."""

    def names(self) -> list[str]:
        """List the names of the files at the top, sorted."""

    def path(self, name: str) -> str:
        """Return what others open the file by: a path, or a URL."""

    def publish(self, names: Sequence[str], write: Callable[..., None]) -> None:
        """Let ``write`` fill files that can seek, and show them under their names, in order, once they are safe."""

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

    def remove_work(self) -> None:
        """Remove everything unfinished."""


class LocalFolder:
    """A folder of this machine, or one that several machines share."""

    def __init__(self, path: Path) -> None:
        self.location = str(path)
        self._path = path

    def exists(self, name: str) -> bool:
        """Tell whether a file is there, whole."""
        return (self._path / name).exists()

    def read(self, name: str) -> bytes:
        """Return the bytes of a file."""
        return (self._path / name).read_bytes()

    def names(self) -> list[str]:
        """List the names of the files at the top, sorted."""
        return sorted(entry.name for entry in self._path.iterdir() if entry.is_file()) if self._path.is_dir() else []

    def path(self, name: str) -> str:
        """Return the path of a file."""
        return str(self._path / name)

    def publish(self, names: Sequence[str], write: Callable[..., None]) -> None:
        """Let ``write`` fill temporary files, sync them, rename them in order, and sync the folder.

        A process killed on the way leaves at most files in ``.parts``, never half a file under a name.
        """
        work = self._path / WORK
        work.mkdir(parents=True, exist_ok=True)
        partials = [work / f"{Path(name).name}.{secrets.token_hex(4)}.partial" for name in names]
        try:
            with ExitStack() as stack:
                files = [stack.enter_context(partial.open("x+b")) for partial in partials]
                write(*files)
                for file in files:
                    file.flush()
                    os.fsync(file.fileno())
            for name, partial in zip(names, partials, strict=True):
                partial.replace(self._path / name)
                _sync_folder((self._path / name).parent)
        finally:
            for partial in partials:
                partial.unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        (self._path / name).unlink(missing_ok=True)

    def remove_work(self) -> None:
        """Remove everything unfinished."""
        shutil.rmtree(self._path / WORK, ignore_errors=True)


class RemoteFolder:
    """A folder on a file system that fsspec knows: an object store shows an object when all of it has arrived."""

    def __init__(self, url: str) -> None:
        self.location = url.rstrip("/")
        self._system, self._root = file_system(self.location)

    def exists(self, name: str) -> bool:
        """Tell whether a file is there."""
        return bool(self._system.exists(f"{self._root}/{name}"))

    def read(self, name: str) -> bytes:
        """Return the bytes of a file."""
        return bytes(self._system.cat_file(f"{self._root}/{name}"))

    def names(self) -> list[str]:
        """List the names of the files at the top, sorted."""
        if not self._system.exists(self._root):
            return []
        self._system.invalidate_cache()
        found = self._system.ls(self._root, detail=True)
        return sorted(entry["name"].rsplit("/", 1)[-1] for entry in found if entry["type"] == "file")

    def path(self, name: str) -> str:
        """Return the URL of a file."""
        return f"{self.location}/{name}"

    def publish(self, names: Sequence[str], write: Callable[..., None]) -> None:
        """Let ``write`` fill local files, and upload them whole, in order."""
        with ExitStack() as stack:
            files = [stack.enter_context(tempfile.NamedTemporaryFile(prefix="prompteol-")) for _ in names]
            write(*files)
            for name, file in zip(names, files, strict=True):
                target = f"{self._root}/{name}"
                file.flush()
                self._system.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
                self._system.put_file(file.name, target)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with suppress(FileNotFoundError):
            self._system.rm_file(f"{self._root}/{name}")

    def remove_work(self) -> None:
        """Remove everything unfinished."""
        with suppress(FileNotFoundError):
            self._system.rm(f"{self._root}/{WORK}", recursive=True)


def is_url(name: str) -> bool:
    """Tell a URL such as ``s3://bucket/key`` from a path."""
    scheme, mark, _ = name.partition("://")
    return bool(mark) and scheme.replace("+", "").replace("-", "").isalnum()


def file_system(url: str) -> tuple[Any, str]:
    """Return the fsspec file system of a URL, and the path in it.

    Raises:
        CorpusError: the scheme is unknown, or what serves it is not installed.
    """
    # Comes with huggingface-hub; what serves a scheme, such as s3fs, does not.
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(url)
    except (ValueError, ImportError, OSError) as error:
        raise CorpusError(f"{url!r} cannot be opened: {error}") from error
    return system, str(path)


def open_folder(location: str | os.PathLike[str]) -> LocalFolder | RemoteFolder:
    """Return the folder at a path or URL; it need not be there yet."""
    name = os.fspath(location)
    if is_url(name) and not name.startswith("file://"):
        return RemoteFolder(name)
    return LocalFolder(Path(name.removeprefix("file://")))


@contextmanager
def said_in_one_line(what: str, then: str) -> Iterator[None]:
    """Turn a failure to write, such as a full disk, into a :class:`CorpusError`."""
    try:
        yield
    except PromptEOLError:
        # Of which some are an OSError too.
        raise
    except OSError as error:
        raise CorpusError(f"{what} was not written: {error.strerror or error}; {then}") from error


def _sync_folder(path: Path) -> None:
    # Windows cannot open a folder.
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
