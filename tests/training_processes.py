"""Trainings in processes of their own: to be killed, or to share a batch."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from multiprocessing import get_context
from typing import Any

# A server that has imported everything once, and forks before it has any thread.
_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload(["prompteol.training.trainer"])


def training_processes(
    arguments: tuple[Any, ...],
    options: Mapping[str, Any],
    *,
    count: int = 1,
    kill_at: int | None = None,
    machines: bool = False,
) -> None:
    """Call ``train`` in ``count`` processes together, and expect them to end well, or by SIGKILL after a step.

    Of several ``machines``, each has one process, and that is its first.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)} if count > 1 else {}
    started = []
    for rank in range(count):
        own = {"RANK": str(rank), "LOCAL_RANK": "0" if machines else str(rank)} if count > 1 else {}
        process = _CONTEXT.Process(target=_train, args=(arguments, dict(options), {**shared, **own}, kill_at, machines))
        process.start()
        started.append(process)
    for process in started:
        # Long, because a busy machine lets two processes wait for each other; it says nothing about speed.
        process.join(900)
        if process.is_alive():
            process.kill()
    expected = 0 if kill_at is None else -signal.SIGKILL
    assert [process.exitcode for process in started] == [expected] * count


def _train(
    arguments: tuple[Any, ...],
    options: dict[str, Any],
    environment: dict[str, str],
    kill_at: int | None,
    machines: bool,
) -> None:
    quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
    os.environ |= {**environment, **quiet}
    import torch

    from prompteol import PromptEOL
    from prompteol.training import train
    from prompteol.training.checkpoints import Workspace

    torch.set_num_threads(1)
    if environment.get("RANK", "0") != "0":
        # Two writers of one file damage it only now and then.
        PromptEOL.save_pretrained = _refuse  # type: ignore[method-assign]

    if machines:
        # Whoever does not wait for the folder shall find none.
        Workspace.begin = _late(Workspace.begin)  # type: ignore[method-assign]

    def watch(progress: Any) -> None:
        if kill_at is not None and progress.step >= kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    train(*arguments, device="cpu", watch=watch, **options)


def _late(begin: Callable[..., None]) -> Callable[..., None]:
    def begin_late(*args: Any, **kwargs: Any) -> None:
        time.sleep(3)
        begin(*args, **kwargs)

    return begin_late


def _refuse(*args: Any, **kwargs: Any) -> None:
    raise AssertionError("a process that is not the first one saves the model")
