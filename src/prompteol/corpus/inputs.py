"""Find what is to be read: files, globs, folders, a pipe, URLs, data sets of the Hub, rows of a program."""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prompteol.corpus.records import READERS, Mappings, Reader, SeparatedTable
from prompteol.corpus.storage import file_system, is_url
from prompteol.corpus.streams import content_hash
from prompteol.errors import CorpusError
from prompteol.extras import check_extra
from prompteol.files.compression import suffix_of
from prompteol.files.tables import parse_delimiter

__all__ = ["Source", "find_sources"]

_ON_THE_HUB = re.compile(r"(?!\.)[\w.-]+/[\w.-]+(:[\w.-]+)?(@[\w.\[\]:%-]+)?")


@dataclass(frozen=True)
class Source:
    """One file, pipe, data set or iterable, whose rows are read from the start each time if that can be.

    Args:
        name: as it was given, or found by a glob or in a folder.
        kind: a format, ``"hub"`` or ``"rows"``.
        delimiter: between the fields of a separated table, where it is not the format's own.
        given: the rows that a program hands over.
    """

    name: str
    kind: str
    delimiter: str | None = None
    given: Iterable[Any] | None = field(default=None, compare=False, repr=False)

    @property
    def is_file(self) -> bool:
        """Whether this is a file or URL, which has a size and a hash."""
        return self.kind in READERS and (is_url(self.name) or Path(self.name).is_file())

    @property
    def rereadable(self) -> bool:
        """Whether the rows can be read twice; a pipe's cannot, nor an iterator's."""
        if self.kind == "rows":
            return not isinstance(self.given, Iterator)
        return self.kind == "hub" or self.is_file

    def reader(self, columns: Sequence[str] | None) -> Reader:
        """Begin to read; of formats that allow it, the ``columns`` alone."""
        if self.kind == "rows":
            return Mappings(self.given or ())
        if self.kind == "hub":
            return Mappings(_hub_rows(self.name))
        if self.delimiter is not None:
            return SeparatedTable(self.name, columns, delimiter=self.delimiter)
        return READERS[self.kind](self.name, columns)

    def description(self) -> tuple[dict[str, Any], int | None]:
        """Read a file once; return what the manifest says of it, and about how many rows it has, if that shows."""
        said: dict[str, Any] = {"name": self.name, "format": self.kind}
        if not self.is_file:
            return said, len(self.given) if isinstance(self.given, Sequence) else None
        size, digest, lines = content_hash(self.name)
        compressed = self.kind == "parquet" or suffix_of(self.name)[1]
        return {**said, "bytes": size, "sha256": digest}, None if compressed else lines

    def stamp(self) -> Any:
        """Return what changes when the file is written to."""
        if not self.is_file or is_url(self.name):
            return None
        status = os.stat(self.name)
        return status.st_size, status.st_mtime_ns


def find_sources(
    inputs: str | os.PathLike[str] | Iterable[Any], format: str | None = None, delimiter: str | None = None
) -> list[Source]:
    """Find the sources that are meant, in order; the files of a glob or folder in the order of their names.

    Args:
        inputs: a name or several (path, glob, folder, ``-``, URL, ``OWNER/NAME`` on the Hub), or an iterable of
            dictionaries or strings that are texts, if it is no list or tuple of names.
        format: how files are read; ``None``: by their suffix, a pipe as ``txt``.
        delimiter: of separated tables; ``None``: the format's own.

    Raises:
        CorpusError: there is no such thing, or its format is unknown.
    """
    if isinstance(inputs, (str, os.PathLike)):
        inputs = [inputs]
    if isinstance(inputs, Mapping):
        raise CorpusError("inputs is one dictionary; give a list of them, one a row")
    if not isinstance(inputs, (list, tuple)) or not all(isinstance(name, (str, os.PathLike)) for name in inputs):
        return [Source("rows", "rows", given=inputs)]
    if format is not None and format not in READERS:
        raise CorpusError(f"format {format!r} is none of {', '.join(READERS)}")
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
    elif is_url(name):
        yield from (_file(one, format, delimiter) for one in _remote(name))
    # Not Path.exists(), which raises where a name is too long to be one: a text in place of a file.
    elif os.path.isdir(name):
        yield from _in_folder(name, format, delimiter)
    elif os.path.exists(name):
        yield _file(name, format, delimiter)
    elif found := sorted(one for one in glob.glob(name, recursive=True) if os.path.isfile(one)):
        yield from (_file(one, format, delimiter) for one in found)
    elif _ON_THE_HUB.fullmatch(name) and suffix_of(name)[0] not in READERS:
        yield Source(name, "hub")
    else:
        raise CorpusError(f"no such file: {name!r:.200}")


def _file(name: str, format: str | None, delimiter: str | None) -> Source:
    suffix, compression = suffix_of(name)
    # A pipe, `<(command)`, has no suffix that says anything.
    kind = format or suffix or "txt"
    if kind not in READERS:
        raise CorpusError(f"{name!r}: {kind!r} is none of the formats {', '.join(READERS)}; name one with --format")
    if kind == "parquet" and compression:
        raise CorpusError(f"{name!r}: Parquet is compressed inside, and is not read through {compression}; unpack it")
    if kind == "parquet" or compression == ".zst":
        check_extra("parquet", "pyarrow")
    if delimiter is not None and kind not in ("csv", "tsv"):
        raise CorpusError(f"{name!r} is read as {kind}, which has no delimiter; leave --delimiter out")
    return Source(name, kind, delimiter)


def _in_folder(name: str, format: str | None, delimiter: str | None) -> Iterator[Source]:
    files = sorted(str(path) for path in Path(name).rglob("*") if path.is_file() and not _hidden(path, Path(name)))
    known = files if format else [file for file in files if suffix_of(file)[0] in READERS]
    if not known:
        raise CorpusError(f"{name!r} is a folder without a file of a known format ({', '.join(READERS)})")
    yield from (_file(file, format, delimiter) for file in known)


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _remote(url: str) -> list[str]:
    system, path = file_system(url)
    if not any(sign in url for sign in "*?["):
        if not system.exists(path):
            raise CorpusError(f"no such file: {url!r}")
        if not system.isdir(path):
            return [url]
        path = f"{path.rstrip('/')}/**"
    names = [str(name) for name in system.glob(path) if not system.isdir(name)]
    found = sorted(system.unstrip_protocol(name) for name in names if suffix_of(name)[0] in READERS)
    if not found:
        raise CorpusError(f"no file of a known format ({', '.join(READERS)}) at {url!r}")
    return found


def _hub_rows(name: str) -> Iterator[Mapping[str, Any]]:
    check_extra("evaluation", "datasets")
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    path, _, split = name.partition("@")
    repository, _, config = path.partition(":")
    try:
        yield from load_dataset(repository, config or None, split=split or "train", streaming=True)
    # An old data set that is a script is a RuntimeError.
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        said = " ".join(str(error).split())
        raise CorpusError(
            f"no file {name!r}, and a data set of that name on the Hub cannot be read ({said}); give a file, or "
            "OWNER/NAME:CONFIGURATION@SPLIT, of which the last two may be left out"
        ) from error


def raw_bytes(raw: Any) -> bytes:
    """Return what stands for an unparsed row in a hash."""
    return raw if isinstance(raw, bytes) else json.dumps(raw, default=repr).encode("utf-8", "surrogatepass")
