"""Keep two processes from writing one corpus: a lock file with process id and host."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prompteol.corpus.storage import LocalFolder, RemoteFolder, said_in_one_line
from prompteol.errors import CorpusError

__all__ = ["LOCK", "locked"]

LOCK = ".lock"


@contextmanager
def locked(folder: LocalFolder | RemoteFolder) -> Iterator[None]:
    """Hold the lock of a corpus while the block runs.

    The operating system's own lock on the file ends with its process, so a stale file of this host is taken over. What
    a process of another host left cannot be judged from here, and is refused.

    Raises:
        CorpusError: another process holds it; with its id and host, and the file to remove if that is gone.
    """
    if isinstance(folder, RemoteFolder):
        with _locked_by_object(folder):
            yield
        return
    path = Path(folder.path(LOCK))
    with said_in_one_line(repr(str(path)), "make room, or give another folder"):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = _acquire(path)
    try:
        yield
    finally:
        # Removed while it is still held, so that nobody can hold a file that is not there any more.
        path.unlink(missing_ok=True)
        os.close(handle)


def _acquire(path: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if not _lock(handle):
            holder = _holder(os.pread(handle, 1000, 0) if hasattr(os, "pread") else b"")
            os.close(handle)
            raise CorpusError(_refusal(path, holder))
        if _is_same_file(handle, path):
            break
        os.close(handle)
    left = _holder(os.read(handle, 1000))
    if left.get("host", socket.gethostname()) != socket.gethostname():
        os.close(handle)
        raise CorpusError(_refusal(path, left))
    os.lseek(handle, 0, os.SEEK_SET)
    os.truncate(handle, 0)
    os.write(handle, _description())
    return handle


def _lock(handle: int) -> bool:
    try:
        import fcntl
    except ImportError:
        import msvcrt

        try:
            # A byte behind the text, which stays readable.
            os.lseek(handle, 1 << 20, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        os.lseek(handle, 0, os.SEEK_SET)
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_same_file(handle: int, path: Path) -> bool:
    """Tell whether the file that was locked is still the one of that name: its last holder may have removed it."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def _locked_by_object(folder: RemoteFolder) -> Iterator[None]:
    """Hold an object for a lock: seen by everybody, but nobody's death removes it."""
    if folder.exists(LOCK):
        holder = _holder(folder.read(LOCK))
        if holder.get("host") != socket.gethostname() or _is_alive(holder.get("pid")):
            raise CorpusError(_refusal(folder.path(LOCK), holder))
    folder.publish([LOCK], lambda file: file.write(_description()))
    try:
        yield
    finally:
        folder.remove(LOCK)


def _is_alive(pid: Any) -> bool:
    if not isinstance(pid, int) or pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _description() -> bytes:
    return (json.dumps({"pid": os.getpid(), "host": socket.gethostname()}) + "\n").encode()


def _holder(content: bytes) -> dict[str, Any]:
    try:
        holder = json.loads(content)
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _refusal(path: Path | str, holder: dict[str, Any]) -> str:
    who = f"process {holder['pid']} on {holder['host']}" if {"pid", "host"} <= holder.keys() else "another process"
    return (
        f"{who} is writing this folder: wait for it, or share the work from the start with --workers; if it is gone, "
        f"remove {str(path)!r}"
    )
