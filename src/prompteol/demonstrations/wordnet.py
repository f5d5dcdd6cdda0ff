"""WordNet's own files: the definitions and headwords of ``data.noun``, ``data.verb``, ``data.adj``, ``data.adv``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from prompteol.errors import CorpusError

__all__ = ["read_wordnet"]

_PARTS = ("noun", "verb", "adj", "adv")


def read_wordnet(folder: str | Path, parts: tuple[str, ...] = _PARTS) -> Iterator[tuple[str, str]]:
    """Yield (definition, word) for every synset of a WordNet database, ready to make demonstrations of.

    The word is the first of the synset; examples and notes in brackets are left out of the definition. Compounds come
    with blanks, and are passed over by :func:`~prompteol.demonstrations.demonstrations_from_definitions`.

    Args:
        folder: that holds ``data.noun`` and so on, such as ``/usr/share/wordnet`` of Debian's ``wordnet-base``.
        parts: of speech.

    Raises:
        CorpusError: a file is missing, or a line is none of WordNet's; with file and line.
    """
    for part in parts:
        path = Path(folder) / f"data.{part}"
        if not path.is_file():
            raise CorpusError(f"no such file: {str(path)!r}; expected the database files of WordNet 3")
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                # The license stands in front, indented.
                if not line.startswith(" "):
                    yield _entry(line, f"{str(path)!r}, line {number}")


def _entry(line: str, where: str) -> tuple[str, str]:
    fields, bar, gloss = line.partition("|")
    values = fields.split()
    # synset_offset lex_filenum ss_type w_cnt word lex_id ...: see wndb(5WN).
    if not bar or len(values) < 6:
        raise CorpusError(f"{where}: not a synset of WordNet: {line.strip()[:60]!r}")
    definition = gloss.split('; "')[0].strip().rstrip(";")
    if definition.startswith("("):
        definition = definition.partition(")")[2].strip() or definition
    return definition, values[4].partition("(")[0].replace("_", " ")
