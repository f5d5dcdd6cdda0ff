"""Files of demonstrations: jsonl, csv, tsv, and the authors' form, a whole template a line."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TextIO

from prompteol.demonstrations.checking import check_demonstration
from prompteol.errors import CorpusError, TemplateError
from prompteol.files import TextSource, atomic_write, refuse_overwrite
from prompteol.prompts import AUTHORS_SLOT, PROMPTEOL, Demonstration

__all__ = ["read_demonstrations", "write_demonstrations"]

_COLUMNS = ("sentence", "word")


def read_demonstrations(path: str | Path) -> list[Demonstration]:
    """Read a set and check every line of it.

    Args:
        path: ``.jsonl`` with ``{"sentence": ..., "word": ...}`` a line; ``.csv`` or ``.tsv`` with these two columns;
            ``.parquet``; or ``.txt`` in the authors' form, a template with one demonstration a line:
            ``This_sentence_:_"A_jockey..."_means_in_one_word:"Equestrian".This_sentence_:_"*sent_0*"_means...``. Of
            such a line the demonstration is kept; the search puts its own templates around it.

    Raises:
        CorpusError: the file cannot be read; with its name, and with the line where one is at fault.
        TemplateError: a demonstration cannot be used; with name and line.
    """
    name = str(path)
    source = TextSource.open(name)
    if source.format == "txt":
        return list(_checked(name, ((number, row[0]) for number, row in source.numbered_rows()), _from_template))
    table = TextSource.open(name, columns=_COLUMNS)
    return list(_checked(name, table.numbered_rows(), lambda row: check_demonstration(*row)))


def write_demonstrations(path: str | Path, demonstrations: Iterable[Demonstration], *, force: bool = False) -> None:
    """Write a set, whole or not at all; the suffix names the form, as for :func:`read_demonstrations`.

    Args:
        path: ``.jsonl``, ``.csv``, ``.tsv`` or ``.txt``.
        demonstrations: each is checked first.
        force: replace a file that exists.

    Raises:
        CorpusError: the suffix is another one, or the file exists or cannot be written.
        TemplateError: a demonstration cannot be used, or holds an underscore, which the authors' form reads as a blank.
    """
    path = Path(path)
    writers: dict[str, Callable[[TextIO, list[Demonstration]], None]] = {
        ".jsonl": _write_jsonl,
        ".csv": lambda file, shown: _write_table(file, shown, ","),
        ".tsv": lambda file, shown: _write_table(file, shown, "\t"),
        ".txt": _write_templates,
    }
    if path.suffix not in writers:
        raise CorpusError(f"{str(path)!r}: expected a name that ends in one of {', '.join(writers)}")
    refuse_overwrite(path, force=force)
    shown = [check_demonstration(one.sentence, one.word) for one in demonstrations]
    with atomic_write(path, force=force) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writers[path.suffix](file, shown)


def _checked(
    name: str, numbered: Iterable[tuple[int, object]], make: Callable[..., Demonstration | None]
) -> Iterator[Demonstration]:
    found = False
    for number, value in numbered:
        try:
            made = make(value)
        except TemplateError as error:
            raise TemplateError(f"{name!r}, line {number}: {error}") from error
        if made is not None:
            found = True
            yield made
    if not found:
        raise CorpusError(f"{name!r} holds no demonstration")


def _from_template(line: str) -> Demonstration | None:
    """Read the demonstration out of a line in the authors' form; a blank line holds none."""
    if not line.strip():
        return None
    before, slot, suffix = line.strip().partition(AUTHORS_SLOT)
    before, suffix = before.replace("_", " "), suffix.replace("_", " ")
    if not slot or not suffix:
        raise TemplateError(f"{line.strip()[:80]!r} is no template in the authors' form: it has no {AUTHORS_SLOT} slot")
    parts = before.split(suffix)
    if len(parts) != 2:
        raise TemplateError(f"{line.strip()[:80]!r} shows {len(parts) - 1} demonstrations; expected one a line")
    word, closed, prefix = parts[1].partition('".' if suffix.endswith('"') else ". ")
    if not closed or not parts[0].startswith(prefix):
        raise TemplateError(f"{line.strip()[:80]!r}: the demonstration and the text stand in different templates")
    return check_demonstration(parts[0][len(prefix) :], word.strip() if not suffix.endswith('"') else word)


def _write_jsonl(file: TextIO, demonstrations: list[Demonstration]) -> None:
    for shown in demonstrations:
        file.write(json.dumps({"sentence": shown.sentence, "word": shown.word}, ensure_ascii=False) + "\n")


def _write_table(file: TextIO, demonstrations: list[Demonstration], delimiter: str) -> None:
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows((shown.sentence, shown.word) for shown in demonstrations)


def _write_templates(file: TextIO, demonstrations: list[Demonstration]) -> None:
    for shown in demonstrations:
        if "_" in shown.sentence + shown.word:
            raise TemplateError(
                f"{shown.sentence!r} => {shown.word!r} holds an underscore, which the authors' form reads as a blank; "
                "write .jsonl"
            )
        head = PROMPTEOL.with_demonstrations((shown,)).head
        file.write((head + "\0" + PROMPTEOL.suffix).replace(" ", "_").replace("\0", AUTHORS_SLOT) + "\n")
