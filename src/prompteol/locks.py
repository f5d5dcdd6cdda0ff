"""Provide locks that a forked child finds open, and locks between processes that end with whoever holds them."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from weakref import WeakSet

from filelock import FileLock, Timeout


class Lock:
    """Keep threads apart, as ``threading.RLock`` does, but never across a fork; copies and pickles start open.

    The thread that held a plain lock while the process forked does not exist in the child, which would wait forever.
    """

    def __init__(self) -> None:
        self.renew()
        _locks.add(self)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock within a block."""
        with self._lock:
            yield

    def renew(self) -> None:
        """Open the lock for all who wait for it from now on."""
        self._lock = threading.RLock()

    def __reduce__(self) -> tuple[type[Lock], tuple[()]]:
        return Lock, ()


_locks: WeakSet[Lock] = WeakSet()


def _renew_all(*_: Any) -> None:
    for lock in list(_locks):
        lock.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)


# What a file system answers that has no locks.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}


class ProcessLock:
    """Keep a second process from what this one writes, by a file that the operating system locks.

    The lock ends with its process, however that ends, so what a killed one left behind locks nobody out.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = FileLock(path)

    def take(self) -> bool:
        """Take the lock; tell whether it is free, as it is on a file system that has no locks.

        Raises:
            OSError: the file cannot be made.
        """
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        except NotImplementedError:
            pass
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        return True

    def release(self) -> None:
        """Give the lock back, and remove its file, if it is held."""
        if self._lock.is_locked:
            # While it is held: whoever comes meanwhile finds that this file is gone, and makes a new one.
            with suppress(OSError):
                self._path.unlink()
            self._lock.release()
