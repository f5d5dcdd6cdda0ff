"""Settle what a corpus will be before its first shard: model, dimension, types, ranges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, is_dataclass, replace
from itertools import chain
from typing import Any

from prompteol.corpus.encoder import CorpusEncoder
from prompteol.corpus.job import Job
from prompteol.corpus.manifest import CorpusManifest
from prompteol.corpus.precision import Storage, int8_ranges
from prompteol.corpus.rows import Located, Row, Wanted, located_rows, settle_types
from prompteol.corpus.storage import LocalFolder, RemoteFolder
from prompteol.errors import CorpusError

__all__ = ["Plan", "check_model", "make_plan"]

_SAMPLE_ROWS = 2048
_SAMPLE_BYTES = 4 << 20


@dataclass(frozen=True)
class Plan:
    """What a process starts with.

    Args:
        manifest: of the corpus, begun or whole.
        model: loaded.
        rows: of the input from the start on, where they cannot be read again.
        total: about how many rows there are, if that shows.
    """

    manifest: CorpusManifest
    model: Any
    rows: Iterable[Located] | None
    total: int | None


def make_plan(job: Job, folder: LocalFolder | RemoteFolder, *, device: str | None, resume: bool) -> Plan:
    """Describe the corpus, or check that what the folder holds is the same one.

    Raises:
        CorpusError: the folder holds something else.
    """
    existing = CorpusManifest.read(folder)
    _check_folder(folder, existing, resume=resume)
    described = [source.description() for source in job.sources]
    counts = [rows for _, rows in described]
    total = None if None in counts else sum(rows or 0 for rows in counts)
    model = job.model.open(device)
    threads = existing.record["threads"] if existing else None
    settings = replace(job.settings, threads=job.settings.threads or threads or torch_threads())
    if threads not in (None, settings.threads):
        raise CorpusError(
            f"{folder.location!r} was begun with {threads} threads, and {settings.threads} would round sums in another "
            "way: leave --threads out"
        )
    use_threads(settings.threads)
    rereadable = all(source.rereadable for source in job.sources)
    rows = None if rereadable else located_rows(job.sources, Wanted(settings.column, settings.keep).columns)
    storage = Storage(settings.precision, _dimension(CorpusEncoder(model, settings)))
    types: tuple[str, ...] = ()
    if existing is None and (settings.keep or settings.precision == "int8"):
        sample, head = _sample(job, rows)
        types = settle_types(sample, settings.keep)
        if settings.precision == "int8":
            storage = replace(storage, ranges=_ranges(sample, CorpusEncoder(model, settings)))
        rows = None if rows is None else chain(head, rows)
    elif existing is not None:
        types = existing.types if existing.keep == settings.keep else ("string",) * len(settings.keep)
    manifest = CorpusManifest.of(
        settings,
        storage,
        model={"name": job.model.name, "fingerprint": model_fingerprint(model)},
        template=_template(model),
        sources=[said for said, _ in described],
        types=types,
    )
    if existing is not None:
        existing.check_same(manifest, folder.location)
        return Plan(existing, model, rows, total)
    manifest.write(folder)
    return Plan(manifest, model, rows, total)


def check_model(manifest: CorpusManifest, model: Any) -> None:
    """Raise :class:`CorpusError` where a process has loaded another model than the corpus is made with."""
    fingerprint = model_fingerprint(model)
    if fingerprint != manifest.record["model"]["fingerprint"]:
        raise CorpusError(
            f"this process loaded the model {fingerprint[:12]}, and the corpus is made with "
            f"{manifest.record['model']['fingerprint'][:12]}"
        )


def model_fingerprint(model: Any) -> str:
    """Return the fingerprint of any sentence-transformers model."""
    from prompteol import fingerprint

    return fingerprint(model)


def torch_threads() -> int:
    """Return how many threads torch computes with."""
    import torch

    return torch.get_num_threads()


def use_threads(threads: int | None) -> None:
    """Let torch compute with so many threads in this process."""
    import torch

    if threads is not None and threads != torch.get_num_threads():
        torch.set_num_threads(threads)


def _check_folder(folder: LocalFolder | RemoteFolder, existing: CorpusManifest | None, *, resume: bool) -> None:
    others = [name for name in folder.names() if not name.startswith(".")]
    if existing is None and others:
        raise CorpusError(f"{folder.location!r} holds {others[0]!r} and no corpus; give an empty folder, or a new one")
    if existing is not None and not resume:
        raise CorpusError(f"{folder.location!r} holds a corpus already; leave --no-resume out to go on with it")


def _dimension(encoder: CorpusEncoder) -> int:
    # Not what the model says of itself, which not every one does.
    vectors, _ = encoder.vectors(["The dimension is the length of this sentence's embedding."])
    if not vectors.size:
        raise CorpusError("the model gives vectors that are not finite: compute in fp32 with --dtype float32")
    return int(vectors.shape[1])


def _sample(job: Job, rows: Iterator[Located] | None) -> tuple[list[Row], list[Located]]:
    """Read the first sound rows; return them, and all that was read on the way."""
    wanted = Wanted(job.settings.column, job.settings.keep)
    sample: list[Row] = []
    read: list[Located] = []
    size = 0
    for located in located_rows(job.sources, wanted.columns) if rows is None else rows:
        read.append(located)
        row = wanted.take(located)
        if isinstance(row, Row):
            sample.append(row)
            size += len(row.text)
        if len(read) >= _SAMPLE_ROWS or size >= _SAMPLE_BYTES:
            break
    return sample, read


def _ranges(sample: list[Row], encoder: CorpusEncoder) -> tuple[tuple[float, ...], tuple[float, ...]]:
    vectors, _ = encoder.vectors([row.text for row in sample])
    if not len(vectors):
        raise CorpusError(f"the first {_SAMPLE_ROWS} rows hold no text to take the ranges of int8 from")
    return int8_ranges(vectors)


def _template(model: Any) -> Any:
    template = getattr(model, "template", None)
    return asdict(template) if is_dataclass(template) and not isinstance(template, type) else dict(model.prompts)
