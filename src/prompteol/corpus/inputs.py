"""Find the inputs of a corpus: files, globs, folders, a pipe, URLs, data sets on the Hub, rows of a program."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from prompteol.corpus.paths import files_of_folder, files_of_glob
from prompteol.corpus.records import READERS, Mappings, ParquetTable, Reader, SeparatedTable, open_stream
from prompteol.corpus.storage import file_system, is_url
from prompteol.errors import CorpusError
from prompteol.extras import check_extra
from prompteol.files.compression import suffix_of
from prompteol.files.tables import parse_delimiter

_ON_THE_HUB = re.compile(r"(?!\.)[\w.-]+/[\w.-]+(:[\w.-]+)?(@[\w.\[\]:%-]+)?")
_FORMATS = ", ".join(READERS)
_BLOCK = 1 << 20

Stamp = tuple[int | None, str] | None
"""Size of a file and when it was written."""


@dataclass(frozen=True)
class Source:
    """Read the rows of one file, pipe, data set or iterable, from the start each time where that is possible."""

    name: str
    # A format, "hub" or "rows".
    kind: str
    delimiter: str | None = None
    given: Iterable[Any] | None = field(default=None, compare=False, repr=False)

    @property
    def is_file(self) -> bool:
        """Whether this is a file or URL, which has a size and a hash."""
        return self.kind in READERS and (is_url(self.name) or os.path.isfile(self.name))

    @property
    def rereadable(self) -> bool:
        """Whether the rows can be read twice; those of a pipe or an iterator cannot."""
        if self.kind == "rows":
            return not isinstance(self.given, Iterator)
        return self.kind == "hub" or self.is_file

    def reader(self, columns: Sequence[str] | None, keep: Sequence[str] = ()) -> Reader:
        """Begin to read ``columns``, else the usual column and those of ``keep``, or all where the format needs all."""
        if self.kind == "rows":
            return Mappings(() if self.given is None else self.given)
        if self.kind == "hub":
            return Mappings(_hub_rows(self.name))
        if self.delimiter is not None:
            return SeparatedTable(self.name, columns, delimiter=self.delimiter)
        if self.kind == "parquet":
            return ParquetTable(self.name, columns, keep)
        return READERS[self.kind](self.name, columns)

    def description(self) -> tuple[dict[str, Any], int | None]:
        """Read a file once; return its record for the manifest, and about how many rows it has, if that is known."""
        said: dict[str, Any] = {"name": self.name, "format": self.kind}
        if self.delimiter is not None:
            said["delimiter"] = self.delimiter
        if not self.is_file:
            return said, len(self.given) if isinstance(self.given, Sequence) else None
        size, digest, lines = _content_hash(self.name)
        compressed = self.kind == "parquet" or suffix_of(self.name)[1]
        return {**said, "bytes": size, "sha256": digest}, None if compressed else lines

    def stamp(self) -> Stamp:
        """Return size and time of a file, which change when it is written to; ``None`` for what is no file."""
        if not self.is_file:
            return None
        if is_url(self.name):
            return _remote_stamp(self.name)
        with suppress(OSError):
            status = os.stat(self.name)
            return status.st_size, str(status.st_mtime_ns)
        return None


def check_unchanged(sources: Iterable[Source], stamps: Mapping[str, Stamp]) -> None:
    """Raise :class:`CorpusError` where a file is not as it was when it was hashed."""
    for source in sources:
        before, now = stamps.get(source.name), source.stamp()
        # A remote file system may fail to answer.
        if before not in (None, now) and not (now is None and is_url(source.name)):
            raise CorpusError(
                f"{source.name!r} was written to or removed while it was read, and is another input now: give "
                "another folder, or remove this one"
            )


def _remote_stamp(url: str) -> Stamp:
    system, path = file_system(url)
    with suppress(OSError, NotImplementedError):
        system.invalidate_cache()
        size = system.size(path)
        # Not every file system tells when a file was written.
        with suppress(NotImplementedError):
            return size, str(system.modified(path))
        return size, ""
    return None


def find_sources(
    inputs: str | os.PathLike[str] | Iterable[Any], format: str | None = None, delimiter: str | None = None
) -> list[Source]:
    """Find the sources that ``inputs`` names, in order; the files of a glob or folder are sorted by name.

    A list or tuple of strings names sources; any other iterable holds dictionaries, or strings that are texts.
    """
    if isinstance(inputs, (str, os.PathLike)):
        inputs = [inputs]
    if isinstance(inputs, Mapping):
        raise CorpusError("inputs is one dictionary; give a list of them, one per row")
    if isinstance(inputs, (bytes, bytearray)) or hasattr(inputs, "iloc"):
        raise CorpusError(
            f"inputs is a {type(inputs).__name__}, which gives no rows; give a list of dictionaries, one per row. Of a "
            "DataFrame that is frame.to_dict('records')"
        )
    if not isinstance(inputs, (list, tuple)) or not all(isinstance(name, (str, os.PathLike)) for name in inputs):
        return [Source("rows", "rows", given=inputs)]
    if format is not None and format not in READERS:
        raise CorpusError(f"format {format!r} is none of {_FORMATS}")
    delimiter = None if delimiter is None else parse_delimiter(delimiter)
    sources = [found for name in inputs for found in _find(os.fspath(name), format, delimiter)]
    if sum(source.name == "-" for source in sources) > 1:
        raise CorpusError("standard input is named twice; give - once")
    if not sources:
        raise CorpusError("no input; give files, folders, - for a pipe, or OWNER/NAME of a data set")
    return sources


def _find(name: str, format: str | None, delimiter: str | None) -> Iterator[Source]:
    if name == "-":
        if format == "parquet":
            raise CorpusError("parquet cannot be read from a pipe; save it to a file first")
        yield Source(name, format or "txt", delimiter)
    elif found := _files(name, any_format=format is not None):
        yield from (_file(one, format, delimiter) for one in found)
    elif _ON_THE_HUB.fullmatch(name) and suffix_of(name)[0] not in READERS:
        yield Source(name, "hub")
    else:
        raise CorpusError(f"no such file: {name!r:.200}")


def _files(name: str, *, any_format: bool) -> list[str]:
    """Return the file of this name, or those of a known format in a folder, or those that a glob matches."""
    system, path = file_system(name)
    # The name may be too long for a file, or name a pipe, `<(command)`, which is no regular file.
    if (not is_url(name) and os.path.exists(name) and not os.path.isdir(name)) or system.isfile(path):
        return [name]
    if system.isdir(path):
        known = _of_known_format(files_of_folder(name), any_format=any_format)
        if not known:
            raise CorpusError(f"{name!r} is a folder without a file of a known format ({_FORMATS})")
        return known
    found = files_of_glob(name) if set("*?[") & set(name) else []
    return _of_known_format(found, any_format=any_format or not is_url(name))


def _of_known_format(names: list[str], *, any_format: bool) -> list[str]:
    return [name for name in names if any_format or suffix_of(name)[0] in READERS]


def _file(name: str, format: str | None, delimiter: str | None) -> Source:
    suffix, compression = suffix_of(name)
    # A pipe, `<(command)`, has no suffix that tells the format.
    kind = format or suffix or "txt"
    if kind not in READERS:
        raise CorpusError(f"{name!r}: {kind!r} is none of the formats {_FORMATS}; name one with --format")
    if kind == "parquet" and compression:
        raise CorpusError(f"{name!r}: Parquet is compressed inside, and is not read through {compression}; unpack it")
    if kind == "parquet" or compression == ".zst":
        check_extra("parquet", "pyarrow")
    if delimiter is not None and kind not in ("csv", "tsv"):
        raise CorpusError(f"{name!r} is read as {kind}, which has no delimiter; leave --delimiter out")
    return Source(name, kind, delimiter)


def _hub_rows(name: str) -> Iterator[Mapping[str, Any]]:
    check_extra("evaluation", "datasets")
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    path, _, split = name.partition("@")
    repository, _, config = path.partition(":")
    try:
        yield from load_dataset(repository, config or None, split=split or "train", streaming=True)
    # For an old data set that is a script, datasets raises RuntimeError.
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        said = " ".join(str(error).split())
        raise CorpusError(
            f"no file {name!r}, and a data set of that name on the Hub cannot be read ({said}); "
            "give a file, or OWNER/NAME:CONFIGURATION@SPLIT, where CONFIGURATION and SPLIT may be left out"
        ) from error


def _content_hash(name: str) -> tuple[int, str, int]:
    """Read a whole file; return its size in bytes, its SHA-256 and how many newlines it holds."""
    digest, size, lines = hashlib.sha256(), 0, 0
    try:
        with open_stream(name, decompress=False) as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
                size += len(block)
                lines += block.count(b"\n")
    except OSError as error:
        raise CorpusError(f"cannot read {name!r}: {error.strerror or error}") from error
    return size, digest.hexdigest(), lines
