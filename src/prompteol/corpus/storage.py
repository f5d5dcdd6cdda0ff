"""Keep the files of a corpus in a folder of any file system that fsspec knows, each whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from prompteol.errors import CorpusError, PromptEOLError
from prompteol.files import atomic_write
from prompteol.locks import ProcessLock

WORK = ".parts"
"""The folder of unfinished work, removed when the corpus is whole; Parquet readers skip names with a dot."""
LOCK = ".lock"

# Only files with the names that this module writes may be removed.
_SHARD = r"shard-\d{6,}\.(parquet|npy|ids\.jsonl)"
_PART = r"(?:\d{6,}\.jsonl|progress-\d+\.json)"
_TEMPORARY = re.compile(rf"\.({_SHARD}|{_PART}|manifest\.json|errors\.jsonl|\.lock)\.[0-9a-f]{{8}}\.partial")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class CorpusFolder:
    """Read and write the files of a corpus at a path or URL; a name may hold one ``/``: ``.parts/000001.jsonl``."""

    def __init__(self, location: str | os.PathLike[str]) -> None:
        self.location = os.fspath(location).removeprefix("file://").rstrip("/") or "/"
        self.is_local = not is_url(self.location)
        self._system, self._root = file_system(self.location)

    def path(self, name: str) -> str:
        """Return the path or URL of a file."""
        return f"{self.location}/{name}"

    def holds(self, name: str) -> bool:
        """Tell whether a path or URL lies in this folder, also through a symbolic link."""
        if self.is_local:
            return not is_url(name) and os.path.realpath(name).startswith(f"{os.path.realpath(self._root)}/")
        return is_url(name) and file_system(name)[1].startswith(f"{self._root}/")

    def exists(self, name: str) -> bool:
        """Tell whether a file is there, whole."""
        return bool(self._system.exists(f"{self._root}/{name}"))

    def read(self, name: str) -> bytes:
        """Return the bytes of a file."""
        return bytes(self._system.cat_file(f"{self._root}/{name}"))

    def read_json(self, name: str) -> Any:
        """Return the content of a JSON file; ``None`` where it is missing or damaged."""
        with suppress(FileNotFoundError, IsADirectoryError, ValueError, RecursionError):
            return json.loads(self.read(name))
        return None

    def is_file(self) -> bool:
        """Tell whether a file, and no folder, lies at this location."""
        if self.is_local:
            return os.path.lexists(self._root) and not os.path.isdir(self._root)
        return bool(self._system.isfile(self._root))

    def names(self, within: str = "") -> list[str]:
        """List the sorted names of the files at the top or in one of the folders."""
        self._system.invalidate_cache()
        try:
            found = self._system.ls(f"{self._root}/{within}".rstrip("/"), detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(entry["name"].rsplit("/", 1)[-1] for entry in found if entry["type"] == "file")

    def publish(self, names: Sequence[str], write: Callable[..., object]) -> None:
        """Let ``write`` fill seekable files, sync them, and rename them to their final names, in order.

        A process that is killed leaves at most hidden files. A full disk raises :class:`CorpusError`.
        """
        with write_errors(self.path(names[-1])), ExitStack() as stack:
            paths = [stack.enter_context(self._published(name)) for name in reversed(names)]
            with write_errors(self.path(names[-1])), ExitStack() as opened:
                write(*(opened.enter_context(path.open("w+b")) for path in reversed(paths)))

    def publish_json(self, name: str, content: Any, *, indent: int | None = None) -> None:
        """Write a file of JSON."""
        said = json.dumps(content, indent=indent, ensure_ascii=False) + "\n"
        self.publish([name], lambda file: file.write(encoded(said)))

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with suppress(FileNotFoundError):
            self._system.rm_file(f"{self._root}/{name}")

    def remove_partial(self) -> None:
        """Remove what a killed process had begun to write; call it only while no other process uses the folder."""
        if self.is_local:
            for within in ("", f"{WORK}/"):
                for name in filter(_TEMPORARY.fullmatch, self.names(within)):
                    self.remove(within + name)

    def remove_work(self) -> None:
        """Remove all unfinished files, including those of killed torchrun processes."""
        self.remove_partial()
        for name in filter(re.compile(_PART).fullmatch, self.names(WORK)):
            with suppress(OSError):
                self.remove(f"{WORK}/{name}")
        with suppress(OSError):
            self._system.rmdir(f"{self._root}/{WORK}")

    @contextmanager
    def _published(self, name: str) -> Iterator[Path]:
        target = Path(self._root, name)
        if self.is_local:
            target.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(target) as partial:
                yield partial
            _sync_folder(target.parent)
            return
        with TemporaryDirectory(prefix="prompteol-") as work:
            yield Path(work, "file")
            remote = f"{self._root}/{name}"
            self._system.makedirs(remote.rsplit("/", 1)[0], exist_ok=True)
            self._system.put_file(str(Path(work, "file")), remote)


@contextmanager
def locked(folder: CorpusFolder) -> Iterator[None]:
    """Lock a corpus while the block runs, or raise :class:`CorpusError` where another process holds the lock.

    The operating system's lock ends with its process, so the lock of a killed process of this host is free. Whether
    a process of another host lives is unknown here. An object store has no locks: there the note alone has to do.
    A block that wrote nothing leaves no trace.
    """
    with ExitStack() as stack:
        if folder.is_local:
            stack.enter_context(_locked_locally(folder))
        holder = _holder(folder)
        here = holder is None or holder["host"] == socket.gethostname()
        if not here or (holder and not folder.is_local and _is_alive(holder["pid"])):
            raise CorpusError(_refusal(folder))
        folder.publish_json(LOCK, {"pid": os.getpid(), "host": socket.gethostname()})
        try:
            yield
        finally:
            folder.remove(LOCK)


@contextmanager
def _locked_locally(folder: CorpusFolder) -> Iterator[None]:
    work = Path(os.path.abspath(folder.location), WORK)
    made = [path for path in (work, *work.parents) if not path.exists()]
    lock = ProcessLock(work / "lock")
    try:
        with write_errors(folder.path(LOCK)):
            work.mkdir(parents=True, exist_ok=True)
            taken = lock.take()
        if not taken:
            raise CorpusError(_refusal(folder))
        yield
    finally:
        lock.release()
        for path in dict.fromkeys([work, *made]):
            # rmdir only removes a folder that is empty.
            with suppress(OSError):
                path.rmdir()


def _holder(folder: CorpusFolder) -> dict[str, Any] | None:
    """Return process id and host from the note in a folder; ``None`` without a note or with a damaged one."""
    note = folder.read_json(LOCK)
    sound = isinstance(note, dict) and type(note.get("pid")) is int and isinstance(note.get("host"), str)
    return note if sound else None


def _refusal(folder: CorpusFolder) -> str:
    holder = _holder(folder)
    who = f"process {holder['pid']} on {holder['host']}" if holder else "another process"
    return (
        f"{who} is writing this folder: wait for it, or share the work from the start with --workers; if it is gone, "
        f"remove {folder.path(LOCK)!r}"
    )


def _is_alive(pid: int) -> bool:
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except (OSError, OverflowError) as error:
        return isinstance(error, PermissionError)
    return True


def encoded(said: str) -> bytes:
    """Return JSON in UTF-8; bytes of a file name that are not UTF-8 stay as JSON's escapes."""
    return said.encode("utf-8", "backslashreplace")


def is_url(name: str) -> bool:
    """Tell a URL such as ``s3://bucket/key`` from a path."""
    scheme, mark, _ = name.partition("://")
    return bool(mark) and scheme.replace("+", "").replace("-", "").isalnum()


def file_system(name: str) -> tuple[Any, str]:
    """Return the fsspec file system of a path or URL, and the path in it."""
    if not is_url(name):
        return LocalFileSystem(), os.path.abspath(name)
    try:
        system, path = url_to_fs(name)
    except (ValueError, ImportError, OSError) as error:
        raise CorpusError(f"{name!r} cannot be opened: {error}") from error
    return system, str(path)


@contextmanager
def write_errors(name: str) -> Iterator[None]:
    """Turn a failure to write in the block, such as a full disk, into a :class:`CorpusError`."""
    try:
        yield
    except PromptEOLError:
        # Some errors of this package are OSErrors too, so this comes first.
        raise
    except OSError as error:
        then = f"what is whole stays: {'make room, and ' * (error.errno in _FULL)}run the same command to go on"
        raise CorpusError(f"{name!r} was not written: {error.strerror or error}; {then}") from error


def _sync_folder(path: Path) -> None:
    # Windows cannot open a folder.
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
