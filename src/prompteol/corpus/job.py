"""Embed a corpus shard by shard: each a pure function of its rows, the model and the settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, BinaryIO

from prompteol.corpus.encoder import CorpusEncoder
from prompteol.corpus.inputs import Source, raw_bytes
from prompteol.corpus.manifest import CorpusManifest
from prompteol.corpus.progress import Meter
from prompteol.corpus.rows import Fault, Located, Row, Wanted, located_rows
from prompteol.corpus.settings import CHUNK_BYTES, CHUNK_ROWS, ModelLoader, OnError, Settings
from prompteol.corpus.shards import ids_name, open_shard, part_name, shard_name, write_ids
from prompteol.corpus.storage import LocalFolder, RemoteFolder, said_in_one_line
from prompteol.errors import CorpusError, NonFiniteError

__all__ = ["ERRORS", "Job", "embed_shards", "finish"]

ERRORS = "errors.jsonl"
Chunk = list[tuple[Located, "Row | Fault"]]


@dataclass(frozen=True)
class Job:
    """All that a process needs to embed its share of a corpus.

    Args:
        model: what embeds.
        sources: what is read.
        location: of the output.
        settings: of the corpus.
        on_error: stop at a row at fault, or list it in ``errors.jsonl``.
    """

    model: ModelLoader
    sources: tuple[Source, ...]
    location: str
    settings: Settings
    on_error: OnError = "stop"


def embed_shards(
    job: Job,
    manifest: CorpusManifest,
    folder: LocalFolder | RemoteFolder,
    encoder: CorpusEncoder,
    meter: Meter,
    *,
    rank: int = 0,
    world: int = 1,
    rows: Iterable[Located] | None = None,
) -> int:
    """Write every shard whose number is ``rank`` modulo ``world`` and that is not there yet.

    Args:
        job: what to do.
        manifest: of the corpus, in ``folder``.
        folder: of the output.
        encoder: the model.
        meter: is told of the work.
        rank: of this process.
        world: how many processes share the corpus.
        rows: of the input from the start on, where they cannot be read again.

    Returns:
        How many rows the whole input has.
    """
    shards = _Shards(job, manifest, folder, encoder, meter)
    stamps = [source.stamp() for source in job.sources]
    iterator = iter(located_rows(job.sources, shards.wanted.columns) if rows is None else rows)
    total = index = 0
    while (first := next(iterator, None)) is not None:
        group = chain([first], islice(iterator, job.settings.shard_rows - 1))
        total += shards.pass_over(index, group) if index % world != rank else shards.settle(index, group)
        index += 1
    for source, stamp in zip(job.sources, stamps, strict=True):
        if source.stamp() != stamp:
            raise CorpusError(f"{source.name!r} was written to while it was read; embed it again into another folder")
    return total


def finish(manifest: CorpusManifest, folder: LocalFolder | RemoteFolder, total: int) -> CorpusManifest:
    """Put together what is known of the shards, once all are there; return the manifest of the finished corpus."""
    if not total:
        raise CorpusError("the input holds no text")
    count = -(-total // manifest.record["shard_rows"])
    parts = [_read_part(folder, index, with_errors=False) for index in range(count)]
    if None in parts:
        raise CorpusError(f"shard {parts.index(None)} of {folder.location!r} is missing; run the same command again")
    known = [part for part in parts if part is not None]
    errors = sum(part["rows_read"] - part["rows"] for part in known)
    if errors:

        def list_errors(file: BinaryIO) -> None:
            for index in range(count):
                part = _read_part(folder, index) or {"errors": []}
                file.writelines(Fault(**error).line().encode() for error in part["errors"])

        folder.publish([ERRORS], list_errors)
    whole = manifest.completed(known, rows=sum(part["rows"] for part in known), errors=errors)
    whole.write(folder)
    folder.remove_work()
    return whole


class _Shards:
    """The shards of one job, as one process sees them."""

    def __init__(
        self,
        job: Job,
        manifest: CorpusManifest,
        folder: LocalFolder | RemoteFolder,
        encoder: CorpusEncoder,
        meter: Meter,
    ) -> None:
        self.wanted = Wanted(job.settings.column, job.settings.keep, manifest.types)
        self._job = job
        self._folder = folder
        self._encoder = encoder
        self._meter = meter
        self._format = job.settings.output_format
        self._whole = {shard["file"]: shard for shard in manifest.record.get("shards", ())}
        # What has no hash of its own, a pipe or a program's rows, is known again by the rows of each shard.
        self._hashed = all(source.is_file for source in job.sources)

    def pass_over(self, index: int, group: Iterable[Located]) -> int:
        """Count the rows of another process's shard."""
        return sum(1 for _ in group)

    def settle(self, index: int, group: Iterable[Located]) -> int:
        """Make sure that a shard is there; return how many rows of the input it stands for."""
        name = shard_name(index, self._format)
        if not self._folder.exists(name):
            if self._whole:
                raise CorpusError(f"{self._folder.path(name)!r} is missing; remove the folder and embed it again")
            return self._write(index, group)
        part = self._whole.get(name) or _read_part(self._folder, index, with_errors=False)
        if part is None:
            return self._write(index, group)
        counted = _Counted(group, hashed=self._hashed)
        rows = sum(1 for _ in counted)
        if counted.digest != part.get("input_sha256") or rows != part["rows_read"]:
            raise CorpusError(
                f"{self._folder.location!r} holds a corpus of another input: rows {part['first_row']} to "
                f"{part['first_row'] + part['rows_read'] - 1} are others than those it was made of "
                f"({str(part.get('input_sha256'))[:12]} there, {str(counted.digest)[:12]} here); give another folder"
            )
        self._meter.skip(rows)
        return rows

    def _write(self, index: int, group: Iterable[Located]) -> int:
        name = shard_name(index, self._format)
        counted = _Counted(group, hashed=self._hashed)
        # The vectors come last: a shard whose vectors are there is whole.
        names = [part_name(index), *([ids_name(index)] if self._format == "npy" else ()), name]
        first = index * self._job.settings.shard_rows

        def write(part: BinaryIO, *files: BinaryIO) -> None:
            faults: list[Fault] = []
            rows = self._embed(counted, files, faults)
            known = {"file": name, "first_row": first, "rows": rows, "rows_read": rows + len(faults)}
            hashed = {} if counted.digest is None else {"input_sha256": counted.digest}
            content = {**known, **hashed, "errors": [vars(fault) for fault in faults]}
            part.write(json.dumps(content, ensure_ascii=False).encode())

        then = "the shards before it are whole: make room, and run the same command to go on"
        with said_in_one_line(repr(self._folder.path(name)), then):
            self._folder.publish(names, write)
        self._meter.shard()
        return counted.rows

    def _embed(self, group: Iterable[Located], files: Sequence[BinaryIO], faults: list[Fault]) -> int:
        storage = self._encoder.storage
        assert storage is not None
        rows = 0
        with open_shard(files[-1], self._format, storage, self.wanted.keep, self.wanted.types) as shard:
            for chunk in self._chunks(group):
                kept, found = self._without_faults(chunk)
                texts = [row.text for row in kept]
                vectors, unsound = self._encoder.vectors(texts)
                found += [self._fault(chunk, kept[place]) for place in unsound]
                kept = [row for place, row in enumerate(kept) if place not in set(unsound)]
                if kept:
                    shard.write(kept, storage.store(vectors))
                    if len(files) > 1:
                        write_ids(files[0], kept, self.wanted.keep)
                faults += sorted(found, key=lambda fault: fault.row)
                rows += len(kept)
                self._meter.chunk(len(chunk), len(found))
        return rows

    def _chunks(self, group: Iterable[Located]) -> Iterator[Chunk]:
        """Cut rows into chunks, always at the same rows: what runs together decides the last bits."""
        chunk: Chunk = []
        size = 0
        for located in group:
            row = self.wanted.take(located)
            if isinstance(row, Fault) and self._job.on_error == "stop":
                raise CorpusError(f"{row}; or leave such rows out, and list them: --on-error skip")
            chunk.append((located, row))
            size += len(row.text) if isinstance(row, Row) else 0
            if len(chunk) >= CHUNK_ROWS or size >= CHUNK_BYTES:
                yield chunk
                chunk, size = [], 0
        if chunk:
            yield chunk

    def _without_faults(self, chunk: Chunk) -> tuple[list[Row], list[Fault]]:
        rows = [row for _, row in chunk]
        return [row for row in rows if isinstance(row, Row)], [row for row in rows if isinstance(row, Fault)]

    def _fault(self, chunk: Chunk, row: Row) -> Fault:
        located = next(located for located, _ in chunk if located.place == row.place)
        fault = located.fault(f"the embedding of {row.text!r:.60} is not finite in this precision")
        if self._job.on_error == "stop":
            raise NonFiniteError(
                f'{fault}: compute in fp32 with --dtype float32 (model_kwargs={{"dtype": "float32"}}), or leave such '
                "rows out, and list them: --on-error skip"
            )
        return fault


class _Counted:
    """Rows that are counted as they pass by, and hashed where their source has no hash."""

    def __init__(self, rows: Iterable[Located], *, hashed: bool) -> None:
        self._rows = rows
        self._digest = None if hashed else hashlib.sha256()
        self.rows = 0

    @property
    def digest(self) -> str | None:
        """Over the rows so far."""
        return None if self._digest is None else self._digest.hexdigest()

    def __iter__(self) -> Iterator[Located]:
        for located in self._rows:
            self.rows += 1
            if self._digest is not None:
                content = raw_bytes(located.raw[1])
                self._digest.update(len(content).to_bytes(8, "little") + content)
            yield located


def _read_part(folder: LocalFolder | RemoteFolder, index: int, *, with_errors: bool = True) -> dict[str, Any] | None:
    try:
        part: dict[str, Any] = json.loads(folder.read(part_name(index)))
    except (FileNotFoundError, ValueError):
        return None
    return part if with_errors else {key: value for key, value in part.items() if key != "errors"}
