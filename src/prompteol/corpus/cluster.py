"""Share the shards of a corpus among the actors of a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prompteol.corpus.job import Job
from prompteol.corpus.progress import CorpusProgress, Meter
from prompteol.corpus.workers import embed_as_rank, revived
from prompteol.errors import CorpusError, PromptEOLError
from prompteol.extras import check_extra

__all__ = ["connected", "run_on_ray"]

_SECONDS_BETWEEN_LOOKS = 1.0
# An actor that dies so often dies of its work, not of its node.
_RESTARTS = 5


class ShardActor:
    """One process of the cluster, with one model; started again elsewhere, it goes on with the shards that are left."""

    def __init__(self) -> None:
        self._latest: CorpusProgress | None = None

    def embed(self, job: Job, rank: int, world: int, device: str | None) -> int | tuple[str, str]:
        """Embed a share of a corpus; return the rows of the input, or the name and message of our own error."""
        try:
            return embed_as_rank(job, rank, world, device, self._tell)
        except PromptEOLError as error:
            return type(error).__name__, str(error)

    def progress(self) -> CorpusProgress | None:
        """Return how far this process has come."""
        return self._latest

    def _tell(self, progress: CorpusProgress) -> None:
        self._latest = progress


def run_on_ray(job: Job, address: str | bool, actors: int | None, device: str | None, meter: Meter) -> int:
    """Embed a corpus with so many actors, by default one a GPU; return how many rows the input has.

    The folder has to be one that every machine of the cluster sees.

    Raises:
        CorpusError: an actor died again and again; what it had finished stays.
    """
    with connected(address) as ray:
        gpus = int(ray.cluster_resources().get("GPU", 0)) if device != "cpu" else 0
        world = actors or gpus or 1
        actor = ray.remote(
            num_gpus=min(1.0, gpus / world) if gpus else 0,
            num_cpus=1,
            max_restarts=_RESTARTS,
            max_task_retries=_RESTARTS,
            # CorpusProgress is asked for while the work goes on.
            max_concurrency=2,
        )(ShardActor)
        members = [actor.remote() for _ in range(world)]
        try:
            return _wait(ray, members, job, device, meter)
        except ray.exceptions.RayError as error:
            said = str(error).splitlines()[0]
            raise CorpusError(
                f"an actor of the Ray cluster failed for good ({said}); the shards that are whole stay: run the same "
                "command to go on"
            ) from error
        finally:
            for member in members:
                ray.kill(member)


def _wait(ray: Any, members: list[Any], job: Job, device: str | None, meter: Meter) -> int:
    waiting = {member.embed.remote(job, rank, len(members), device): rank for rank, member in enumerate(members)}
    latest: dict[int, CorpusProgress] = {}
    totals = []
    while waiting:
        done, _ = ray.wait(list(waiting), timeout=_SECONDS_BETWEEN_LOOKS)
        for reference in done:
            waiting.pop(reference)
            result = ray.get(reference)
            if not isinstance(result, int):
                raise revived(*result)
            totals.append(result)
        for rank, member in enumerate(members):
            # An actor that is being started again does not answer; its work is waited for above.
            asked, _ = ray.wait([member.progress.remote()], timeout=_SECONDS_BETWEEN_LOOKS)
            try:
                found = ray.get(asked[0]) if asked else None
            except ray.exceptions.RayError:
                continue
            if found is not None:
                latest[rank] = found
        meter.listen_to(latest.values())
    return max(totals)


@contextmanager
def connected(address: str | bool) -> Iterator[Any]:
    """Connect to a cluster: by its address, else the one that is there, else a new one of this machine."""
    check_extra("ray", "ray")
    import ray

    if ray.is_initialized():
        yield ray
        return
    try:
        ray.init(address=address if isinstance(address, str) else None, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise CorpusError(f"no Ray cluster at {address!r}: {str(error).splitlines()[0]}") from error
    try:
        yield ray
    finally:
        ray.shutdown()
