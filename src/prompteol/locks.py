"""Provide locks that a forked child finds open, whichever thread locked them in the parent."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet


class Lock:
    """Keep threads apart, as ``threading.RLock`` does, but never across a fork; copies and pickles start open.

    The thread that held a plain lock while the process forked does not exist in the child, which would wait for ever.
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
