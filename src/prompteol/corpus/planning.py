"""Settle what a corpus will be before its first shard: model, dimension, types, ranges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, is_dataclass, replace
from itertools import chain
from typing import Any

from prompteol.corpus.encoder import CorpusEncoder
from prompteol.corpus.job import Job
from prompteol.corpus.manifest import MANIFEST, CorpusManifest
from prompteol.corpus.precision import Storage, int8_ranges
from prompteol.corpus.rows import Located, Row, Wanted, located_rows, settle_types
from prompteol.corpus.storage import LocalFolder, RemoteFolder, said_in_one_line
from prompteol.errors import CorpusError
from prompteol.files.columns import TEXT, check_header, column_named, is_number

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
    if existing is None:
        sample, head = _sample(job, rows)
        types = settle_types([row for _, row in sample], settings.keep)
        _check_texts(job, sample)
        if settings.precision == "int8":
            storage = replace(storage, ranges=_ranges([row for _, row in sample], CorpusEncoder(model, settings)))
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
    with said_in_one_line(repr(folder.path(MANIFEST)), "make room, and run the same command again"):
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


def _sample(job: Job, rows: Iterator[Located] | None) -> tuple[list[tuple[Located, Row]], list[Located]]:
    """Read the first sound rows; return them, and all that was read on the way."""
    wanted = Wanted(job.settings.column, job.settings.keep)
    sample: list[tuple[Located, Row]] = []
    read: list[Located] = []
    size = 0
    for located in located_rows(job.sources, wanted.columns) if rows is None else rows:
        read.append(located)
        row = wanted.take(located)
        if isinstance(row, Row):
            sample.append((located, row))
            size += len(row.text)
        if len(read) >= _SAMPLE_ROWS or size >= _SAMPLE_BYTES:
            break
    return sample, read


def _check_texts(job: Job, sample: list[tuple[Located, Row]]) -> None:
    """Make sure that a column that nobody named holds texts, as every command does that reads a table.

    Raises:
        CorpusError: the first line of a table is no header, or the column holds numbers alone.
    """
    if job.settings.column is not None or not sample or sample[0][0].source.kind in ("txt", "rows"):
        return
    source = sample[0][0].source
    record = sample[0][0].reader.parse(sample[0][0].raw[1])
    names = [str(name) for name in record]
    if source.kind in ("csv", "tsv") and not column_named(names, TEXT):
        check_header(source.name, names)
    texts = [row.text for located, row in sample if located.source is source and row.text.strip()]
    if texts and all(map(is_number, texts)):
        raise CorpusError(
            f"{source.name!r}: the column holds {texts[0]!r:.40} and other numbers, which are no texts; name the "
            "column that holds some with --column"
        )


def _ranges(sample: list[Row], encoder: CorpusEncoder) -> tuple[tuple[float, ...], tuple[float, ...]]:
    vectors, _ = encoder.vectors([row.text for row in sample])
    if not len(vectors):
        raise CorpusError(f"the first {_SAMPLE_ROWS} rows hold no text to take the ranges of int8 from")
    return int8_ranges(vectors)


def _template(model: Any) -> Any:
    template = getattr(model, "template", None)
    return asdict(template) if is_dataclass(template) and not isinstance(template, type) else dict(model.prompts)
