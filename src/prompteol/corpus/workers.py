"""Share the shards of a corpus among processes of this machine, one a device or several on the CPU."""

from __future__ import annotations

import json
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, BinaryIO

from prompteol import errors
from prompteol.corpus.encoder import CorpusEncoder
from prompteol.corpus.job import Job, embed_shards
from prompteol.corpus.manifest import CorpusManifest
from prompteol.corpus.planning import check_model, use_threads
from prompteol.corpus.progress import CorpusProgress, Meter
from prompteol.corpus.storage import open_folder
from prompteol.errors import CorpusError, PromptEOLError

__all__ = ["embed_as_rank", "revived", "run_workers"]

# What says that a process is one of torchrun's; our own workers are not.
_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


def embed_as_rank(
    job: Job, rank: int, world: int, device: str | None, listener: Callable[[CorpusProgress], None] | None = None
) -> int:
    """Load the model in this process and embed its share of a corpus whose manifest is there; return all rows."""
    folder = open_folder(job.location)
    manifest = CorpusManifest.read(folder)
    if manifest is None:
        raise CorpusError(f"{job.location!r} holds no manifest")
    use_threads(manifest.record["threads"])
    model = job.model.open(device)
    check_model(manifest, model)
    meter = Meter(listener=listener)
    encoder = CorpusEncoder(model, job.settings, manifest.storage, meter.batch)
    total = embed_shards(job, manifest, folder, encoder, meter, rank=rank, world=world)
    meter.finish()
    return total


def run_workers(job: Job, devices: Sequence[str | None], meter: Meter) -> int:
    """Embed a corpus with one process for each of ``devices``; return how many rows the input has.

    Raises:
        CorpusError: a process died; what it had finished stays.
    """
    events: queue.Queue[tuple[int, dict[str, Any]]] = queue.Queue()
    processes = [_start(job, rank, len(devices), device, events) for rank, device in enumerate(devices)]
    latest: dict[int, CorpusProgress] = {}
    totals: dict[int, int] = {}
    try:
        while len(totals) < len(processes):
            rank, event = events.get()
            if "progress" in event:
                latest[rank] = CorpusProgress(**event["progress"])
                meter.listen_to(latest.values())
            elif "rows" in event:
                totals[rank] = event["rows"]
            elif "error" in event:
                raise revived(event["error"], event["message"])
            elif rank not in totals:
                raise CorpusError(
                    f"worker {rank} ended with code {processes[rank].wait()} before its work was done; the shards that "
                    "are whole stay: run the same command to go on"
                )
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            # Waits for it, and closes its pipes.
            with process, suppress(BrokenPipeError):
                pass
    return max(totals.values())


def _start(
    job: Job, rank: int, world: int, device: str | None, events: queue.Queue[tuple[int, dict[str, Any]]]
) -> subprocess.Popen[bytes]:
    """Start a process; not multiprocessing's way, which needs a guard in the script of whoever calls."""
    environment = {name: value for name, value in os.environ.items() if name not in _TORCHRUN}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    process = subprocess.Popen(
        [sys.executable, "-c", "from prompteol.corpus.workers import main; main()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )
    assert process.stdin is not None
    work = pickle.dumps((job, rank, world, device))
    with suppress(BrokenPipeError):
        process.stdin.write(len(work).to_bytes(8, "little") + work)
        process.stdin.flush()
    threading.Thread(target=_listen, args=(process, rank, events), daemon=True).start()
    return process


def _listen(process: subprocess.Popen[bytes], rank: int, events: queue.Queue[tuple[int, dict[str, Any]]]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        events.put((rank, json.loads(line)))
    events.put((rank, {}))


def revived(name: str, message: str) -> PromptEOLError:
    """Make an error of our tree again that another process met."""
    kind = getattr(errors, name, CorpusError)
    error: PromptEOLError = kind.__new__(kind)
    # Not its constructor, which for some takes more than a message.
    error.args = (message,)
    return error


def main() -> None:
    """Do the work that comes in on standard input, and tell of it on standard output, a line of JSON an event."""
    # What libraries print must not come between the events.
    events = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    stdin = sys.stdin.buffer
    size = int.from_bytes(stdin.read(8), "little")
    job, rank, world, device = pickle.loads(stdin.read(size))  # noqa: S301
    threading.Thread(target=_end_with_parent, args=(stdin,), daemon=True).start()

    def tell(event: dict[str, Any]) -> None:
        events.write((json.dumps(event) + "\n").encode())

    try:
        tell({"rows": embed_as_rank(job, rank, world, device, lambda now: tell({"progress": vars(now)}))})
    except PromptEOLError as error:
        tell({"error": type(error).__name__, "message": str(error)})
    except Exception as error:
        tell({"error": "CorpusError", "message": f"worker {rank}: {type(error).__name__}: {error}"})
        raise


def _end_with_parent(stdin: BinaryIO) -> None:
    """End with the process that started this one, however that ended: nobody else holds the lock."""
    stdin.read()
    os._exit(1)
