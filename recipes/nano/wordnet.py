"""What the recipe takes from WordNet: glosses, examples, and common words by lexicographer's file."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from wordfreq import zipf_frequency

# Files of lexnames(5WN) that slots of the grammar are filled from; "@" marks instances: Paris, not city.
FILES = {"05": "animal", "06": "thing", "13": "food", "18": "person", "15@": "place", "30": "change", "35": "contact",
         "36": "creation", "38": "motion", "41": "social"}  # fmt: skip

# Words rarer than this, in occurrences per billion on a logarithmic scale, are unknown to most readers.
_COMMON = 3.3


@dataclass
class WordNet:
    """Glosses and examples as sentences; entries of word, gloss and examples; words by kind, commonest first."""

    glosses: list[str] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)
    entries: list[tuple[str, ...]] = field(default_factory=list)
    words: dict[str, list[str]] = field(default_factory=dict)


def read(folder: str | Path) -> WordNet:
    """Read the database files of WordNet 3 in ``folder``, such as ``/usr/share/wordnet`` of ``wordnet-base``."""
    found = WordNet()
    words: dict[str, dict[str, float]] = defaultdict(dict)
    for part in ("noun", "verb", "adj", "adv"):
        first_sense = _first_senses(Path(folder) / f"index.{part}")
        for line in (Path(folder) / f"data.{part}").read_text(encoding="utf-8").splitlines():
            if line.startswith(" "):  # the license
                continue
            fields, _, gloss = line.partition("|")
            values = fields.split()
            texts = [text.strip(' ";') for text in re.split(r';\s*(?=")', gloss)]
            found.glosses.append(re.sub(r"^\([^)]*\)\s*", "", texts[0]))
            found.examples += [re.sub(r'"\s*-.*$', "", text) for text in texts[1:]]
            found.entries.append((values[4].replace("_", " "), found.glosses[-1], *texts[1:]))
            kind = FILES.get(values[1] + ("@" if "@i" in values else ""))
            word = values[4]
            if kind and len(word) > 2 and word.isalpha() and first_sense.get(word.lower()) == values[0]:
                frequency = zipf_frequency(word, "en")
                if frequency > _COMMON:
                    words[kind][word] = frequency
    found.words = {kind: sorted(kept, key=lambda word: (-kept[word], word)) for kind, kept in words.items()}
    return found


def _first_senses(index: Path) -> dict[str, str]:
    """Return the offset of each word's first sense in its data file: a "can" that does is commoner than one of tin."""
    lines = (line.split() for line in index.read_text(encoding="utf-8").splitlines() if not line.startswith(" "))
    return {values[0]: values[-int(values[2])] for values in lines}
