"""Check demonstrations, and read and write files of them: jsonl, csv, tsv, and the authors' form, a template a line."""

import csv
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import as_file, files
from itertools import islice
from pathlib import Path

from prompteol.errors import CorpusError, InputError, TemplateError
from prompteol.files import TextSource, atomic_write, refuse_overwrite
from prompteol.prompts import AUTHORS_SLOT, PROMPT_TASKS, PROMPTEOL, SLOT, TEMPLATES, Demonstration
from prompteol.validation import check_texts

_COLUMNS = ("sentence", "word")
_SUFFIXES = (".jsonl", ".csv", ".tsv", ".txt")
_SLOTS = (SLOT, AUTHORS_SLOT, AUTHORS_SLOT.replace("_", " "))
# A shorter run of words, such as "means", also occurs in ordinary sentences.
_TELLING_WORDS = 3


def check_demonstration(sentence: str, word: str) -> Demonstration:
    """Make a demonstration; TemplateError where it is none, or could be taken for a piece of a template."""
    made = Demonstration(sentence, word)
    for name, value in (("sentence", made.sentence), ("word", made.word)):
        try:
            check_texts([value])
        except InputError as error:
            raise TemplateError(f"demonstration {name}: {error}") from error
        if "\0" in value:
            raise TemplateError(f"demonstration {name} {value!r} holds a NUL character, which no file of text holds")
        if len(value.splitlines()) > 1:
            raise TemplateError(f"demonstration {name} {value!r} runs over several lines; write it in one")
        piece = next((piece for piece in (*_SLOTS, *_template_text()) if _plain(piece) in _plain(value)), None)
        if piece is not None:
            bare = "give the bare sentence and the bare word"
            raise TemplateError(f"demonstration {name} {value!r} holds {piece!r}, which belongs to a template: {bare}")
    if '"' in made.word:
        raise TemplateError(f"demonstration word {made.word!r} holds a double quote, which would end it: leave it out")
    return made


def distinct(
    demonstrations: Iterable[Demonstration], *, count: int | None = None, seed: int | None = None
) -> list[Demonstration]:
    """Return at most ``count`` of them, each sentence once; shuffled with a seed, else drawn as far as needed."""
    kept = _first_of_each(demonstrations)
    if seed is None:
        return list(islice(kept, count))
    shuffled = list(kept)
    random.Random(seed).shuffle(shuffled)  # noqa: S311
    return shuffled[:count]


def _first_of_each(demonstrations: Iterable[Demonstration]) -> Iterator[Demonstration]:
    seen: set[str] = set()
    for shown in demonstrations:
        key = _plain(shown.sentence).rstrip(" .")
        if key not in seen:
            seen.add(key)
            yield shown


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _template_text() -> Sequence[str]:
    """Return the pieces of all presets that give a template away, the longest first."""
    templates = {template.for_task(task) for template in TEMPLATES.values() for task in PROMPT_TASKS}
    known = {_telling(part) for template in templates for part in (template.prefix, template.suffix)}
    return sorted(known, key=lambda piece: (-len(piece), piece))


def _telling(part: str) -> str:
    bare = part.strip().strip('"').strip()
    return bare if len(bare.split()) >= _TELLING_WORDS else part.strip()


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
    source = TextSource.open(str(path))
    templates = source.format == "txt"
    if not templates:
        source = TextSource.open(str(path), columns=_COLUMNS)
    found = []
    for number, row in source.numbered_rows():
        try:
            made = _from_template(row[0]) if templates else check_demonstration(*row)
        except TemplateError as error:
            raise TemplateError(f"{str(path)!r}, line {number}: {error}") from error
        if made is not None:
            found.append(made)
    if not found:
        raise CorpusError(f"{str(path)!r} holds no demonstration")
    return found


def write_demonstrations(path: str | Path, demonstrations: Iterable[Demonstration], *, force: bool = False) -> None:
    """Write a set to ``.jsonl``, ``.csv``, ``.tsv`` or ``.txt`` (the authors' form), whole or not at all."""
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


def _from_template(line: str) -> Demonstration | None:
    """Read the demonstration out of a line in the authors' form; a blank line holds none."""
    if not line.strip():
        return None
    shown = repr(line.strip()[:80])
    before, slot, suffix = line.strip().partition(AUTHORS_SLOT)
    before, suffix = before.replace("_", " "), suffix.replace("_", " ")
    if not slot or not suffix:
        raise TemplateError(f"{shown} is no template in the authors' form: it has no {AUTHORS_SLOT} slot")
    parts = before.split(suffix)
    if len(parts) != 2:
        raise TemplateError(f"{shown} shows {len(parts) - 1} demonstrations; expected one a line")
    quoted = suffix.endswith('"')
    word, closed, prefix = parts[1].partition('".' if quoted else ". ")
    if not closed or not parts[0].startswith(prefix):
        raise TemplateError(f"{shown}: the demonstration and the text stand in different templates")
    return check_demonstration(parts[0].removeprefix(prefix), word if quoted else word.strip())


def _as_template(sentence: str, word: str) -> str:
    if "_" in sentence + word:
        raise TemplateError(f"{sentence!r} => {word!r} holds an underscore, in the authors' form a blank; write .jsonl")
    head = PROMPTEOL.with_demonstrations((Demonstration(sentence, word),)).head
    return AUTHORS_SLOT.join(part.replace(" ", "_") for part in (head, PROMPTEOL.suffix)) + "\n"
