"""Settle model, dimension, types and ranges of a corpus before its first shard is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, is_dataclass, replace
from itertools import chain
from typing import Any, NamedTuple

import torch

from prompteol.corpus.encoder import CorpusEncoder
from prompteol.corpus.inputs import check_unchanged
from prompteol.corpus.job import Job
from prompteol.corpus.manifest import MANIFEST, CorpusManifest
from prompteol.corpus.rows import Located, Row, Wanted, bytes_held, located_rows, settle_types, usual_column
from prompteol.corpus.shards import Storage, int8_ranges
from prompteol.corpus.storage import CorpusFolder
from prompteol.errors import CorpusError
from prompteol.files.columns import TEXT, check_header, column_named, is_number, no_texts

_SAMPLE_ROWS = 2048
_SAMPLE_BYTES = 4 << 20


class Plan(NamedTuple):
    """Hold what a process starts with; ``total`` is about how many rows there are, if that is known."""

    manifest: CorpusManifest
    model: Any
    # The rows from the start, where they cannot be read again.
    rows: Iterable[Located] | None = None
    total: int | None = None


def make_plan(
    job: Job, folder: CorpusFolder, *, device: str | None, resume: bool, leads: bool = True, kind: str | None = None
) -> Plan:
    """Describe the corpus, or check that the folder holds the same one.

    One process of torchrun ``leads``; the others take the manifest that it wrote. ``kind`` is the kind of the
    devices that compute the corpus, if it is not this process's.
    """
    existing = check_folder(folder, resume=resume) if leads else CorpusManifest.read(folder)
    described = [source.description() for source in job.sources]
    counts = [rows for _, rows in described]
    total = None if None in counts else sum(rows or 0 for rows in counts)
    model = job.open_model(device)
    threads = existing.record["threads"] if existing else None
    settings = replace(job.settings, threads=job.settings.threads or threads or torch.get_num_threads())
    if threads not in (None, settings.threads):
        raise CorpusError(
            f"{folder.location!r} was begun with {threads} threads, and {settings.threads} would round sums in another "
            "way: leave --threads out"
        )
    torch.set_num_threads(settings.threads or 1)
    encoder = CorpusEncoder(model, settings)
    rereadable = all(source.rereadable for source in job.sources)
    rows = (
        None if rereadable else located_rows(job.sources, Wanted(settings.column, settings.keep).columns, settings.keep)
    )
    storage = Storage(settings.precision, _dimension(encoder))
    if existing is None:
        read, sample = _sample(job, rows)
        if not sample and not (read or _holds_rows(job, rows)):
            raise CorpusError("the input holds no text")
        types = settle_types([row for _, row in sample], settings.keep)
        _check_texts(job, sample)
        if settings.precision == "int8":
            storage = replace(storage, ranges=_ranges([row.text for _, row in sample], encoder))
        rows = None if rows is None else chain(read, rows)
    else:
        types = tuple(existing.keep.get(name, "string") for name in settings.keep)
    manifest = CorpusManifest.of(
        settings,
        storage,
        model={"name": job.model_name, "fingerprint": _fingerprint(model)},
        computed=computed_by(model) if kind is None else {**computed_by(model), "device": kind},
        template=_template(model),
        sources=[said for said, _ in described],
        types=types,
    )
    check_unchanged(job.sources, job.stamps)
    if existing is not None:
        existing.check_same(manifest, folder.location)
        return Plan(existing, model, rows, total)
    manifest.write(folder)
    return Plan(manifest, model, rows, total)


def begun(folder: CorpusFolder) -> CorpusManifest | None:
    """Read the manifest of a corpus that has a shard; a run that failed before its first shard settles nothing."""
    existing = CorpusManifest.read(folder)
    settles = existing is not None and (existing.is_complete or _visible(folder) != [MANIFEST])
    return existing if settles else None


def _visible(folder: CorpusFolder) -> list[str]:
    return [name for name in folder.names() if not name.startswith(".")]


def check_model(manifest: CorpusManifest, model: Any) -> None:
    """Raise :class:`CorpusError` where a process has loaded another model than the corpus was begun with."""
    mine, corpus = _fingerprint(model), manifest.record["model"]["fingerprint"]
    if mine != corpus:
        raise CorpusError(f"this process loaded the model {mine[:12]}, and the corpus is made with {corpus[:12]}")


def _fingerprint(model: Any) -> str:
    from prompteol.saving import fingerprint

    return fingerprint(model)


def check_folder(folder: CorpusFolder, *, resume: bool) -> CorpusManifest | None:
    """Refuse a folder that no corpus may be written to; return the manifest of a corpus that was begun there."""
    if folder.is_file():
        raise CorpusError(f"{folder.location!r} is no folder, which shards need: give another name")
    existing = begun(folder)
    others = [name for name in _visible(folder) if name != MANIFEST]
    if existing is None and others:
        raise CorpusError(f"{folder.location!r} holds {others[0]!r} and no corpus; give an empty folder, or a new one")
    if existing is not None and not resume:
        raise CorpusError(f"{folder.location!r} holds a corpus already; leave --no-resume out to go on with it")
    return existing


def _dimension(encoder: CorpusEncoder) -> int:
    # It is measured, as not every model states its dimension.
    vectors, _ = encoder.vectors(["The dimension is the length of this sentence's embedding."])
    if not vectors.size:
        raise CorpusError("the model gives vectors that are not finite: compute in fp32 with --dtype float32")
    return int(vectors.shape[1])


def _sample(job: Job, rows: Iterator[Located] | None) -> tuple[list[Located], list[tuple[Located, Row]]]:
    """Read the first rows; return the rows that cannot be read again, and the sound ones among all."""
    read: list[Located] = []
    wanted = Wanted(job.settings.column, job.settings.keep)
    if rows is None:
        return read, _sound(wanted, located_rows(job.sources, wanted.columns, wanted.keep))

    def held() -> Iterator[Located]:
        for located in rows:
            read.append(located)
            yield located

    return read, _sound(wanted, held())


def _holds_rows(job: Job, rows: Iterator[Located] | None) -> bool:
    """Tell whether the input has a row that was not read yet."""
    return next(iter(located_rows(job.sources, None) if rows is None else rows), None) is not None


def _sound(wanted: Wanted, rows: Iterable[Located]) -> list[tuple[Located, Row]]:
    """Return the sound ones among the first rows, as many as fit into memory; keep one unparsed row per source."""
    sound: list[tuple[Located, Row]] = []
    size = 0
    for count, located in enumerate(rows, start=1):
        row = wanted.take(located)
        size += bytes_held(row) + bytes_held(located.raw[1])
        if isinstance(row, Row):
            first = not sound or sound[-1][0].source is not located.source
            sound.append((located if first else located.unread(), row))
        if count >= _SAMPLE_ROWS or size >= _SAMPLE_BYTES:
            break
    return sound


def _check_texts(job: Job, sample: list[tuple[Located, Row]]) -> None:
    """Refuse a column that the user did not name and that holds no texts, as every command that reads tables does."""
    if job.settings.column is not None:
        return
    wanted = Wanted(keep=job.settings.keep)
    for source in job.sources:
        if source.kind in ("txt", "rows"):
            continue
        found = [(located, row) for located, row in sample if located.source is source]
        if source.is_file and source is not job.sources[0]:
            # The sample may have ended before or after the first row of this source.
            found = _sound(wanted, located_rows([source], None, wanted.keep))
        if found:
            _check_table(found)


def _check_table(rows: list[tuple[Located, Row]]) -> None:
    """Refuse a table whose header is a row, or whose usual column holds numbers, by its first rows."""
    source, reader, raw = rows[0][0].source, rows[0][0].reader, rows[0][0].raw
    names = [str(name) for name in reader.parse(raw[1])]
    if source.kind in ("csv", "tsv") and not column_named(names, TEXT):
        check_header(source.name, names)
    texts = [row.text for _, row in rows if row.text.strip()]
    if texts and all(map(is_number, texts)):
        raise no_texts(source.name, usual_column(tuple(names)), texts)


def _ranges(texts: list[str], encoder: CorpusEncoder) -> list[list[float]]:
    vectors, _ = encoder.vectors(texts)
    if not len(vectors):
        raise CorpusError(f"the first {_SAMPLE_ROWS} rows hold no text to take the ranges of int8 from")
    return int8_ranges(vectors)


def computed_by(model: Any) -> dict[str, str | None]:
    """Describe what changes the last bits of vectors but not the model: engine, attention kernel, kind of device."""
    module = getattr(model, "module", None)
    kind = torch.device(getattr(model, "device", "cpu")).type
    return {"engine": getattr(module, "engine", None), "attention": getattr(module, "attention", None), "device": kind}


def _template(model: Any) -> Any:
    template = getattr(model, "template", None)
    return asdict(template) if is_dataclass(template) and not isinstance(template, type) else dict(model.prompts)
