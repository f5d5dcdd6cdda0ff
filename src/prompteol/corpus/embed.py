"""Embed any amount of text into a folder of shards, and go on where it was stopped."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

import torch

from prompteol.corpus.inputs import find_sources
from prompteol.corpus.job import Job, OnError, finish
from prompteol.corpus.manifest import MANIFEST, CorpusManifest, Settings
from prompteol.corpus.opened import Corpus, open_corpus
from prompteol.corpus.planning import Plan, begun, check_folder, make_plan
from prompteol.corpus.processes import connected, embed_share, ray_device, run_on_ray, run_workers
from prompteol.corpus.progress import CorpusProgress, Meter
from prompteol.corpus.shards import Precision, ShardFormat, shard_name
from prompteol.corpus.storage import CorpusFolder, locked
from prompteol.errors import CorpusError, SettingError
from prompteol.extras import check_extra
from prompteol.prompts import PromptTask

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_SECONDS_BETWEEN_LOOKS = 0.5


def embed_corpus(
    model: str | os.PathLike[str] | SentenceTransformer | None,
    inputs: str | os.PathLike[str] | Iterable[Any],
    output: str | os.PathLike[str],
    *,
    column: str | None = None,
    format: str | None = None,
    delimiter: str | None = None,
    keep: Sequence[str] = (),
    output_format: ShardFormat = "parquet",
    shard_rows: int = 100_000,
    precision: Precision = "float32",
    normalize: bool = False,
    truncate_dim: int | None = None,
    task: PromptTask | None = None,
    batch_size: int | None = None,
    device: str | Sequence[str] | None = None,
    workers: int | None = None,
    threads: int | None = None,
    ray: str | bool = False,
    on_error: OnError = "stop",
    resume: bool = True,
    model_options: dict[str, Any] | None = None,
    progress: Callable[[CorpusProgress], None] | None = None,
) -> Corpus:
    """Embed any amount of text into a folder of shards, with constant memory.

    After a stop at any moment, the same call goes on. On the same machine it ends in the same bytes as an unbroken one.
    Under ``torchrun`` its processes share the shards.

    Args:
        model: a name or folder for ``PromptEOL``, ``None`` for the one that ships with the package, or a loaded
            ``SentenceTransformer``.
        inputs: files, globs, folders, ``"-"`` for standard input, URLs that fsspec knows, names of data sets on the Hub
            (``"OWNER/NAME:CONFIGURATION@SPLIT"``), one or a list of them; or an iterable of dictionaries.
        output: a folder or URL; made if missing.
        column: the column of the text; ``None`` takes ``text`` or ``sentence``, or the only one.
        format: the format of the files; ``None`` takes it from their suffixes, before ``.gz``, ``.zst`` or ``.xz``.
        delimiter: what separates the fields of ``.csv`` and ``.tsv`` files.
        keep: columns that are written beside the vectors.
        output_format: ``"parquet"``, or ``"npy"`` with a sidecar of ids.
        shard_rows: rows of the input per shard.
        precision: the type of the stored numbers. ``"int8"`` takes its ranges from the first rows; ``"ubinary"`` stores
            one bit per dimension.
        normalize: scale each vector to length 1, after any cut.
        truncate_dim: keep this many leading dimensions.
        task: take the prompt for ``"query"`` or ``"document"``.
        batch_size: texts handed to the model at once.
        device: the device to compute on; several devices get one process each.
        workers: the number of processes; by default one per device.
        threads: the number of torch's threads in each process.
        ray: embed on a Ray cluster: its address, or ``True`` for a running cluster, else a local one.
        on_error: ``"stop"`` at a row that cannot be embedded, or ``"skip"`` it and list it in ``errors.jsonl``.
        resume: go on with a corpus that the folder already holds; ``False`` refuses such a folder.
        model_options: arguments for ``PromptEOL(...)``, such as ``template`` and ``model_kwargs``.
        progress: is called with the progress a few times per second.

    Raises:
        CorpusError: the input or a row cannot be read, the folder holds another corpus, or another process is
            writing it, the disk is full.
        NonFiniteError: a vector is not finite.
    """
    keep = (keep,) if isinstance(keep, str) else tuple(keep)
    settings = Settings(
        column, keep, output_format, shard_rows, precision, normalize, truncate_dim, task, batch_size, threads
    )
    load = partial(load_model, **(model_options or {}))
    name = os.fspath(model) if isinstance(model, os.PathLike) else model
    sources = tuple(find_sources(inputs, format, delimiter))
    job = Job(name, load, sources, os.fspath(output), settings, on_error)
    devices = [device] if device is None or isinstance(device, str) else list(device)
    run(job, devices, workers=workers, ray=ray, resume=resume, meter=Meter(listener=progress))
    return open_corpus(output)


def run(
    job: Job,
    devices: Sequence[str | None],
    *,
    workers: int | None = None,
    ray: str | bool = False,
    resume: bool = True,
    meter: Meter,
) -> CorpusManifest:
    """Run a job in one process or several; return the manifest of the finished corpus."""
    if job.on_error not in get_args(OnError):
        raise SettingError(f"on_error {job.on_error!r} is none of {', '.join(get_args(OnError))}")
    if job.settings.output_format == "parquet":
        check_extra("parquet", "pyarrow")
    if not devices or (workers is not None and workers < 1):
        raise SettingError(f"workers={workers} on {len(devices)} devices: give 1 or more")
    world = max(len(devices), workers or 1)
    if (world > 1 or ray or "RANK" in os.environ) and not all(source.rereadable for source in job.sources):
        raise CorpusError("several processes share an input that each of them can read: save the pipe to a file first")
    folder = CorpusFolder(job.location)
    # The output folder may lie inside an input folder.
    sources = tuple(one for one in job.sources if not (one.is_file and folder.holds(one.name)))
    # The stamps are taken before the files are hashed, so that no later edit is missed.
    job = replace(job, sources=sources, stamps={source.name: source.stamp() for source in sources})
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        return _run_as_torchrun(job, folder, devices[0], resume=resume, meter=meter)
    # This check comes before anything is written, as the folder may belong to something else.
    check_folder(folder, resume=resume)
    with locked(folder), _restored_threads(), connected(ray) if ray else nullcontext() as cluster:
        kind = ray_device(cluster, devices[0]) if ray else _kinds_of(devices)
        plan = make_plan(job, folder, device=devices[0], resume=resume, kind=kind)
        folder.remove_partial()
        manifest, meter.total = plan.manifest, plan.total
        if world == 1 and not ray:
            return _finished(job, manifest, folder, embed_share(job, plan, folder, meter), meter)
        # The workers load the model anew, each on its own device.
        del plan
        if ray:
            total = run_on_ray(job, cluster, workers, devices[0], meter)
        else:
            total = run_workers(job, [devices[rank % len(devices)] for rank in range(world)], meter)
        return _finished(job, manifest, folder, total, meter)


def _kinds_of(devices: Sequence[str | None]) -> str | None:
    """Name the kinds of devices where they differ, as their shards then do; return ``None`` for a single kind."""
    kinds = sorted({torch.device(device).type for device in devices if device is not None})
    return " and ".join(kinds) if len(kinds) > 1 else None


def _run_as_torchrun(
    job: Job, folder: CorpusFolder, device: str | None, *, resume: bool, meter: Meter
) -> CorpusManifest:
    """Embed the share of one of torchrun's processes, which may run on several machines that share the folder."""
    rank, world, local = (int(os.environ.get(name, 0)) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if device is None:
        device = f"cuda:{local}" if torch.cuda.is_available() else None
    if rank:
        plan = _joined_plan(job, folder, device)
        embed_share(job, plan, folder, meter, rank, world)
        _wait_until(lambda: (whole := CorpusManifest.read(folder)) is not None and whole.is_complete)
        return plan.manifest
    check_folder(folder, resume=resume)
    with locked(folder), _restored_threads():
        plan = make_plan(job, folder, device=device, resume=resume)
        total = embed_share(job, plan, folder, meter, rank, world)
        names = [shard_name(index, job.settings.output_format) for index in range(-(-total // job.settings.shard_rows))]
        _wait_until(lambda: all(folder.exists(name) for name in names))
        return _finished(job, plan.manifest, folder, total, meter)


def _joined_plan(job: Job, folder: CorpusFolder, device: str | None) -> Plan:
    """Wait for the manifest of the leading process.

    A job that failed before its first shard may have left a manifest, which the leading process is about to replace.
    """
    while True:
        _wait_until(lambda: folder.exists(MANIFEST))
        settled, seen = begun(folder), folder.read(MANIFEST)
        try:
            return make_plan(job, folder, device=device, resume=True, leads=False)
        except CorpusError:
            if settled is not None:
                raise
        while begun(folder) is None and folder.read(MANIFEST) == seen:
            time.sleep(_SECONDS_BETWEEN_LOOKS)


def _finished(job: Job, manifest: CorpusManifest, folder: CorpusFolder, total: int, meter: Meter) -> CorpusManifest:
    # Until now the total was the number of lines in the files, headers included.
    meter.total = total
    if not manifest.is_complete:
        return finish(manifest, folder, total)
    if total != manifest.record["rows_read"]:
        raise CorpusError(
            f"{job.location!r} holds a corpus of another input: {manifest.record['rows_read']} rows there, {total} "
            "here; give another folder"
        )
    folder.remove_work()
    return manifest


def _wait_until(is_so: Callable[[], bool]) -> None:
    while not is_so():
        time.sleep(_SECONDS_BETWEEN_LOOKS)


@contextmanager
def _restored_threads() -> Iterator[None]:
    """Give torch back the threads that it had."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def load_model(name: str | None, *, device: str | None = None, **options: Any) -> Any:
    """Load a model by its name; in any process."""
    from prompteol.sentence_transformers import PromptEOL

    return PromptEOL(name, device=device, **options)
