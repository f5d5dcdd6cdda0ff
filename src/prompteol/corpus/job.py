"""Embed a corpus shard by shard: each a pure function of its rows, the model and the settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import chain, islice
from typing import Any, BinaryIO, Literal

import numpy as np

from prompteol.corpus.encoder import CorpusEncoder
from prompteol.corpus.inputs import Source, Stamp, check_unchanged
from prompteol.corpus.manifest import CorpusManifest, Settings
from prompteol.corpus.progress import Meter
from prompteol.corpus.rows import Fault, Located, Row, Wanted, bytes_held, located_rows
from prompteol.corpus.shards import ShardWriter, ids_name, shard_name
from prompteol.corpus.storage import CorpusFolder, encoded
from prompteol.errors import CorpusError, NonFiniteError

OnError = Literal["stop", "skip"]
ERRORS = "errors.jsonl"
# Texts embedded together: enough to sort by length, few enough that memory stays small whatever the texts are.
_CHUNK_ROWS = 2048
_CHUNK_BYTES = 8 << 20


@dataclass(frozen=True)
class Job:
    """Hold all that a process needs to embed its share of a corpus."""

    # A name, None for the model that ships with the package, or a SentenceTransformer.
    model: Any
    # Makes a model of a name and a device.
    load: Callable[..., Any]
    sources: tuple[Source, ...]
    location: str
    settings: Settings
    on_error: OnError = "stop"
    # What each source's file looked like when it was hashed.
    stamps: Mapping[str, Stamp] = field(default_factory=dict)

    @property
    def model_name(self) -> str | None:
        """The model's name in the manifest; ``None`` is the model that ships with the package."""
        if self.model is None or isinstance(self.model, str):
            return self.model
        card = getattr(self.model, "model_card_data", None)
        return getattr(card, "base_model", None) or getattr(card, "model_name", None) or type(self.model).__name__

    def open_model(self, device: str | None) -> Any:
        """Return the model on a device."""
        if self.model is None or isinstance(self.model, str):
            return self.load(self.model, device=device)
        return self.model if device is None else self.model.to(device)


def embed_shards(
    job: Job,
    manifest: CorpusManifest,
    folder: CorpusFolder,
    encoder: CorpusEncoder,
    meter: Meter,
    *,
    rank: int = 0,
    world: int = 1,
    rows: Iterable[Located] | None = None,
) -> int:
    """Write the missing shards whose number is ``rank`` modulo ``world``; return how many rows the input has.

    ``rows`` holds the rows of the input from the start, where they cannot be read again.
    """
    shards = _Shards(job, manifest, folder, encoder, meter)
    iterator = iter(located_rows(job.sources, shards.wanted.columns, shards.wanted.keep) if rows is None else rows)
    total = index = 0
    while (first := next(iterator, None)) is not None:
        group = chain([first], islice(iterator, job.settings.shard_rows - 1))
        total += sum(1 for _ in group) if index % world != rank else shards.settle(index, group)
        index += 1
    check_unchanged(job.sources, job.stamps)
    meter.tell(at_once=True)
    return total


def finish(manifest: CorpusManifest, folder: CorpusFolder, total: int) -> CorpusManifest:
    """Combine the records of the shards, once all are written; return the manifest of the finished corpus."""
    if not total:
        raise CorpusError("the input holds no text")
    count = -(-total // manifest.record["shard_rows"])
    parts = [_read_part(folder, index)[0] for index in range(count)]
    if None in parts:
        raise CorpusError(f"shard {parts.index(None)} of {folder.location!r} is missing; run the same command again")
    if folder.exists(shard_name(count, manifest.record["output_format"])):
        raise CorpusError(
            f"{folder.location!r} was begun with another input, which had more than the {total} rows of this one; give "
            "another folder"
        )
    whole = manifest.completed([part for part in parts if part is not None])

    def list_errors(file: BinaryIO) -> None:
        for index in range(count):
            file.write(_read_part(folder, index)[1])

    if whole.record["errors"]:
        folder.publish([ERRORS], list_errors)
    whole.write(folder)
    folder.remove_work()
    return whole


class _Shards:
    """Write the shards of one job that belong to one process."""

    def __init__(
        self, job: Job, manifest: CorpusManifest, folder: CorpusFolder, encoder: CorpusEncoder, meter: Meter
    ) -> None:
        is_json = job.settings.output_format == "npy"
        self.wanted = Wanted(job.settings.column, job.settings.keep, tuple(manifest.keep.values()), is_json)
        self._job = job
        self._folder = folder
        self._encoder = encoder
        self._meter = meter
        self._format = job.settings.output_format
        self._manifest = manifest
        self._whole = {shard["file"]: shard for shard in manifest.record.get("shards", ())}
        # A pipe and a program's rows have no hash of their own, so the rows of each shard are hashed instead.
        self._hashed = not all(source.is_file for source in job.sources)

    def settle(self, index: int, group: Iterable[Located]) -> int:
        """Write a shard unless it exists; return how many rows of the input it covers."""
        name = shard_name(index, self._format)
        there = self._folder.exists(name)
        if self._whole and name not in self._whole:
            raise CorpusError(
                f"{self._folder.location!r} holds a corpus of another input: {self._manifest.record['rows_read']} rows "
                "there, and more here; give another folder"
            )
        if self._whole and not there:
            raise CorpusError(f"{self._folder.path(name)!r} is missing; remove the folder and embed it again")
        part = self._whole.get(name) or _read_part(self._folder, index)[0] if there else None
        counted = _Counted(group, hashed=self._hashed)
        if part is None:
            self._write(index, counted)
            return counted.rows
        rows = sum(1 for _ in counted)
        if counted.digest != part.get("input_sha256") or rows != part["rows_read"]:
            raise CorpusError(
                f"{self._folder.location!r} holds a corpus of another input: rows {part['first_row']} to "
                f"{part['first_row'] + part['rows_read'] - 1} are not those that it was made of "
                f"({str(part.get('input_sha256'))[:12]} there, {str(counted.digest)[:12]} here); give another folder"
            )
        self._meter.count(rows_resumed=rows)
        return rows

    def _write(self, index: int, counted: _Counted) -> None:
        name = shard_name(index, self._format)

        def write(part: BinaryIO, *files: BinaryIO) -> None:
            rows = self._embed(counted, part, files)
            first = index * self._job.settings.shard_rows
            known = {"file": name, "first_row": first, "rows": rows, "rows_read": counted.rows}
            hashed = {"input_sha256": counted.digest} if self._hashed else {}
            part.write(encoded(json.dumps({**known, **hashed}, ensure_ascii=False)))
            # A shard is only published if the files still are those that were hashed.
            check_unchanged(counted.sources, self._job.stamps)

        # The vectors are published last: a shard whose vectors exist is whole.
        ids = [ids_name(index)] if self._format == "npy" else []
        self._folder.publish([_part_name(index), *ids, name], write)
        self._meter.count(shards=1)

    def _embed(self, group: Iterable[Located], part: BinaryIO, files: Sequence[BinaryIO]) -> int:
        storage, rows = self._manifest.storage, 0
        with ShardWriter(files, storage, self._manifest.keep) as shard:
            for chunk in self._chunks(group):
                kept = [(located, row) for located, row in chunk if isinstance(row, Row)]
                found = [row for _, row in chunk if isinstance(row, Fault)]
                vectors, unsound = self._encoder.vectors([row.text for _, row in kept])
                found += [self._not_finite(*kept[place]) for place in unsound]
                for place in reversed(unsound):
                    del kept[place]
                if kept:
                    shard.write([row for _, row in kept], vectors)
                for fault in sorted(found):
                    part.write(encoded(json.dumps(asdict(fault), ensure_ascii=False) + "\n"))
                rows += len(kept)
                self._meter.chunk(len(chunk), len(found))
            if not rows:
                shard.write([], np.empty((0, storage.dimension), dtype=np.float32))
        return rows

    def _chunks(self, group: Iterable[Located]) -> Iterator[list[tuple[Located, Row | Fault]]]:
        """Cut rows into chunks, always at the same rows, as the rows that run together decide the last bits."""
        chunk: list[tuple[Located, Row | Fault]] = []
        size = 0
        for located in group:
            row = self.wanted.take(located)
            if isinstance(row, Fault) and self._job.on_error == "stop":
                raise CorpusError(f"{row}; or leave such rows out and list them: --on-error skip")
            chunk.append((located.unread(), row))
            size += bytes_held(row)
            if len(chunk) >= _CHUNK_ROWS or size >= _CHUNK_BYTES:
                yield chunk
                chunk, size = [], 0
        if chunk:
            yield chunk

    def _not_finite(self, located: Located, row: Row) -> Fault:
        fault = located.fault(f"the embedding of {row.text!r:.60} is not finite in this precision")
        if self._job.on_error == "stop":
            raise NonFiniteError(
                f'{fault}: compute in fp32 with --dtype float32 (model_kwargs={{"dtype": "float32"}}), or leave such '
                "rows out, and list them: --on-error skip"
            )
        return fault


class _Counted:
    """Count the rows that are read, and hash them where their source has no hash."""

    def __init__(self, rows: Iterable[Located], *, hashed: bool) -> None:
        self._rows = rows
        self._hash = hashlib.sha256() if hashed else None
        self.rows = 0
        self.digest: str | None = None
        self.sources: list[Source] = []

    def __iter__(self) -> Iterator[Located]:
        for located in self._rows:
            self.rows += 1
            if not self.sources or self.sources[-1] is not located.source:
                self.sources.append(located.source)
            if self._hash is not None:
                row = _bytes_of(located.raw[1])
                self._hash.update(len(row).to_bytes(8, "little") + row)
            yield located
        self.digest = None if self._hash is None else self._hash.hexdigest()


def _bytes_of(raw: Any) -> bytes:
    """Return bytes to hash: the same ones for the same row, whatever a program put into it."""
    if isinstance(raw, bytes):
        return raw
    try:
        return json.dumps(raw, default=repr).encode("utf-8", "surrogatepass")
    except (TypeError, ValueError, RecursionError):
        # The row has keys that JSON does not know, or holds itself.
        return repr(raw).encode("utf-8", "surrogatepass")


def _part_name(index: int) -> str:
    """Return the file that holds a shard's faults and, in its last line, its record, until the corpus is whole."""
    return f".parts/{index:06d}.jsonl"


def _read_part(folder: CorpusFolder, index: int) -> tuple[dict[str, Any] | None, bytes]:
    """Return the record of a shard, ``None`` if it is not whole, and one line for each of its faults."""
    with suppress(FileNotFoundError, ValueError):
        faults, _, last = folder.read(_part_name(index)).rpartition(b"\n")
        part = json.loads(last)
        if isinstance(part, dict) and part.keys() >= {"file", "first_row", "rows", "rows_read"}:
            return part, faults + b"\n" * bool(faults)
    return None, b""
