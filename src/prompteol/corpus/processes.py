"""Share the shards of a corpus among the processes of this machine, of torchrun, or of a Ray cluster."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any

import torch

from prompteol.corpus.encoder import CorpusEncoder
from prompteol.corpus.job import Job, embed_shards
from prompteol.corpus.manifest import CorpusManifest
from prompteol.corpus.planning import Plan, check_model
from prompteol.corpus.progress import CorpusProgress, Meter
from prompteol.corpus.storage import CorpusFolder
from prompteol.errors import CorpusError, PromptEOLError
from prompteol.extras import check_extra

_SECONDS_BETWEEN_LOOKS = 1.0
# The wait is short, as the next run may begin as soon as the parent is gone.
_SECONDS_TO_OUTLIVE = 0.1
# A task that dies this often fails because of its work, not because of its node.
_RETRIES = 5
_GO_ON = "the shards that are whole stay: run the same command to go on"


def embed_share(job: Job, plan: Plan, folder: CorpusFolder, meter: Meter, rank: int = 0, world: int = 1) -> int:
    """Embed one process's share of the shards with the plan's model; return how many rows the input has."""
    meter.total = plan.total
    encoder = CorpusEncoder(plan.model, job.settings, meter.batch)
    return embed_shards(job, plan.manifest, folder, encoder, meter, rank=rank, world=world, rows=plan.rows)


def run_workers(job: Job, devices: Sequence[str | None], meter: Meter) -> int:
    """Embed a corpus with one process for each of ``devices``; return how many rows the input has."""
    from concurrent.futures.process import BrokenProcessPool

    from joblib import Parallel, delayed

    world = len(devices)
    shares = [delayed(_embed_rank)(job, rank, world, device, os.getpid()) for rank, device in enumerate(devices)]
    try:
        with _watched(job, world, meter):
            return int(max(Parallel(n_jobs=world, backend="loky", batch_size=1)(shares)))
    # A worker that dies while it starts breaks a pipe to this process.
    except (BrokenProcessPool, ConnectionError, EOFError) as error:
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise CorpusError(f"a worker died before its work was done ({said}); {_GO_ON}") from error


def run_on_ray(job: Job, ray: Any, actors: int | None, device: str | None, meter: Meter) -> int:
    """Embed a corpus with ``actors`` tasks of Ray, by default one per GPU; return how many rows the input has.

    A task whose machine dies is started again on another machine, and goes on with the shards that are missing. The
    folder must be visible to every machine of the cluster.
    """
    gpus = _gpus(ray, device)
    world = actors or gpus or 1
    share = min(1.0, gpus / world) if gpus else 0
    task = ray.remote(num_gpus=share, num_cpus=1, max_retries=_RETRIES)(_embed_rank)
    shares = [task.remote(job, rank, world, device) for rank in range(world)]
    try:
        with _watched(job, world, meter), _ray_errors(ray):
            return int(max(ray.get(shares)))
    finally:
        for one in shares:
            # The task may be finished or out of reach, which no longer matters.
            with suppress(Exception):
                ray.cancel(one, force=True)


@contextmanager
def _ray_errors(ray: Any) -> Iterator[None]:
    """Turn whatever ends a task on the cluster, or the connection to it, into an error of this package."""
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, PromptEOLError):
            raise error.cause from None
        raise _failed_on_ray(error.cause) from error
    # Ray retries the work of a dead worker or node. Where its own connection breaks, it raises built-in errors.
    except (ray.exceptions.RayError, OSError, EOFError, ValueError) as error:
        raise _failed_on_ray(error) from error


def _failed_on_ray(error: BaseException) -> CorpusError:
    said = f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]
    return CorpusError(f"a task on the Ray cluster failed for good ({said.rstrip(': ')}); {_GO_ON}")


def ray_device(ray: Any, device: str | None) -> str | None:
    """Return the kind of device that tasks of Ray compute on; ``None`` if it is the kind of this process."""
    # The devices of the driver process compute nothing.
    return None if device is not None else "cuda" if _gpus(ray, device) else "cpu"


def _gpus(ray: Any, device: str | None) -> int:
    if device == "cpu":
        return 0
    with _ray_errors(ray):
        return int(ray.cluster_resources().get("GPU", 0))


def _embed_rank(job: Job, rank: int, world: int, device: str | None, parent: int | None = None) -> int:
    """Load the model, and embed this process's share of a corpus whose manifest is written; return all rows."""
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    folder = CorpusFolder(job.location)
    manifest = CorpusManifest.read(folder)
    if manifest is None:
        raise CorpusError(f"{job.location!r} holds no manifest")
    torch.set_num_threads(manifest.record["threads"])
    model = job.open_model(device)
    check_model(manifest, model)
    name = _progress_name(rank)
    meter = Meter(listener=lambda now: folder.publish_json(name, asdict(now)), pause=_SECONDS_BETWEEN_LOOKS)
    return embed_share(job, Plan(manifest, model), folder, meter, rank, world)


def _end_with(parent: int) -> None:
    """End this process when its parent ends, for whatever reason, as then nobody holds the lock."""
    while os.getppid() == parent:
        time.sleep(_SECONDS_TO_OUTLIVE)
    os.kill(os.getpid(), signal.SIGTERM)


def _progress_name(rank: int) -> str:
    return f".parts/progress-{rank}.json"


@contextmanager
def _watched(job: Job, world: int, meter: Meter) -> Iterator[None]:
    """Pass on the progress that the processes write into the folder."""
    folder, done = CorpusFolder(job.location), threading.Event()
    for rank in range(world):
        folder.remove(_progress_name(rank))

    def look() -> None:
        told = [folder.read_json(_progress_name(rank)) for rank in range(world)]
        meter.take_over(CorpusProgress(**one) for one in told if one)

    def watch() -> None:
        while not done.wait(_SECONDS_BETWEEN_LOOKS):
            look()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        look()
        meter.tell(at_once=True)


@contextmanager
def connected(address: str | bool) -> Iterator[Any]:
    """Connect to the cluster at an address, else to a running one, else to a new one on this machine."""
    check_extra("ray", "ray")
    import ray

    if ray.is_initialized():
        yield ray
        return
    try:
        ray.init(
            address=address if isinstance(address, str) else None, log_to_driver=False, logging_level=logging.ERROR
        )
    # Where a node does not start in time, Ray raises a plain Exception.
    except Exception as error:
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise CorpusError(f"no Ray cluster at {address!r}: {said}") from error
    try:
        yield ray
    finally:
        ray.shutdown()
