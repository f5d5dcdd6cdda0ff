"""Read and write files of demonstrations: jsonl, csv, tsv, and the authors' form, a whole template a line."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from importlib.resources import as_file, files
from pathlib import Path

from prompteol.demonstrations.checking import check_demonstration
from prompteol.errors import CorpusError, TemplateError
from prompteol.files import TextSource, atomic_write, refuse_overwrite
from prompteol.prompts import AUTHORS_SLOT, PROMPTEOL, Demonstration

_COLUMNS = ("sentence", "word")
_SUFFIXES = (".jsonl", ".csv", ".tsv", ".txt")


def default_demonstrations() -> list[Demonstration]:
    """Return the 124 that ship with the package: actions, animals, things, places, feelings, news, and definitions.

    Written for this package and free to use under its license. No sentence of STS12 to STS16, STS-B dev and test, or
    SICK is among them.
    """
    with as_file(files("prompteol.demonstrations") / "default.jsonl") as path:
        return read_demonstrations(path)


def read_demonstrations(path: str | Path) -> list[Demonstration]:
    """Read a set and check every line of it.

    Args:
        path: ``.jsonl`` with ``{"sentence": ..., "word": ...}`` a line; ``.csv``, ``.tsv`` or ``.parquet`` with these
            two columns; or ``.txt`` in the authors' form, a template with one demonstration a line, of which the
            demonstration is kept:
            ``This_sentence_:_"A_jockey..."_means_in_one_word:"Equestrian".This_sentence_:_"*sent_0*"_means...``.

    Raises:
        CorpusError, TemplateError: the file or a demonstration cannot be used; with name and line.
    """
    name = str(path)
    source = TextSource.open(name)
    if source.format == "txt":
        return list(_checked(name, ((number, row[0]) for number, row in source.numbered_rows()), _from_template))
    table = TextSource.open(name, columns=_COLUMNS)
    return list(_checked(name, table.numbered_rows(), lambda row: check_demonstration(*row)))


def write_demonstrations(path: str | Path, demonstrations: Iterable[Demonstration], *, force: bool = False) -> None:
    """Write a set to ``.jsonl``, ``.csv``, ``.tsv`` or ``.txt``, whole or not at all.

    Raises:
        CorpusError: the suffix is another one, or the file exists (without ``force``) or cannot be written.
        TemplateError: a demonstration cannot be used, or holds an underscore, which the authors' form reads as a blank.
    """
    path = Path(path)
    if path.suffix not in _SUFFIXES:
        raise CorpusError(f"{str(path)!r}: expected a name that ends in one of {', '.join(_SUFFIXES)}")
    refuse_overwrite(path, force=force)
    checked = [check_demonstration(one.sentence, one.word) for one in demonstrations]
    pairs = [(one.sentence, one.word) for one in checked]
    with atomic_write(path, force=force) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        match path.suffix:
            case ".jsonl":
                records = (dict(zip(_COLUMNS, pair, strict=True)) for pair in pairs)
                file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
            case ".txt":
                file.writelines(_as_template(*pair) for pair in pairs)
            case suffix:
                writer = csv.writer(file, delimiter="," if suffix == ".csv" else "\t", lineterminator="\n")
                writer.writerows([_COLUMNS, *pairs])


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


def _as_template(sentence: str, word: str) -> str:
    if "_" in sentence + word:
        raise TemplateError(
            f"{sentence!r} => {word!r} holds an underscore, which the authors' form reads as a blank; write .jsonl"
        )
    head = PROMPTEOL.with_demonstrations((Demonstration(sentence, word),)).head
    return AUTHORS_SLOT.join(part.replace(" ", "_") for part in (head, PROMPTEOL.suffix)) + "\n"
