"""Read pairs of texts to score embeddings on: with human scores, or an anchor with its positive."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from prompteol.data.columns import SCORE
from prompteol.errors import CorpusError, TuningError
from prompteol.files import TextSource
from prompteol.files.columns import FIRST, SECOND, check_header, column_named, listed
from prompteol.validation import check_texts

# Parts of the names of columns that say how well the texts of a pair go together.
_SCORE_WORDS = frozenset(
    {
        "score", "scores", "rating", "ratings", "label", "labels", "gold", "gs", "sim", "similarity", "relatedness",
        "relevance", "human", "mean", "target", "value", "judgement", "judgment",
    }
)  # fmt: skip


@dataclass(frozen=True)
class ScoredPairs:
    """Hold pairs of sentences, with how similar people find each, on any scale, or as anchors with their positives.

    Pairs that are too few, of different number, or all of one score are a :class:`TuningError`.
    """

    first: Sequence[str]
    second: Sequence[str]
    scores: Sequence[float] | None = None
    name: str = "given pairs"

    def __post_init__(self) -> None:
        counts = {len(self.first), len(self.second), len(self.first if self.scores is None else self.scores)}
        if len(counts) > 1:
            raise TuningError(
                f"{self.name}: {len(self.first)} first and {len(self.second)} second sentences and scores"
            )
        if len(self) < 8:
            raise TuningError(f"{self.name}: {len(self)} pairs are too few to compare prompts on; give 8 or more")
        check_texts(self.first)
        check_texts(self.second)
        if self.scores is not None and (not all(map(math.isfinite, self.scores)) or len(set(self.scores)) == 1):
            raise TuningError(f"{self.name}: the scores are all the same, or not finite; a rank correlation needs more")

    def __len__(self) -> int:
        return len(self.first)

    @property
    def labeled(self) -> bool:
        """Tell whether the pairs have scores."""
        return self.scores is not None

    @cached_property
    def digest(self) -> str:
        """Hash sentences, scores and order to sixteen hex digits."""
        record = [list(self.first), list(self.second), self.scores and list(self.scores)]
        return hashlib.sha256(json.dumps(record).encode()).hexdigest()[:16]

    def nested(self, seed: int) -> ScoredPairs:
        """Return the pairs in an order of which every prefix is a fair sample.

        With scores, every prefix has high and low ones in the proportion of the whole, which makes small samples
        more telling: the pairs are sorted by score, ties shuffled, and drawn in the order of the golden-ratio sequence.
        """
        generator = random.Random(seed)  # noqa: S311
        order = list(range(len(self)))
        generator.shuffle(order)
        if self.scores is not None:
            ranked = sorted(order, key=self.scores.__getitem__)
            order = [ranked[place] for place in _spread(len(ranked), generator.random())]
        return ScoredPairs(
            [self.first[index] for index in order],
            [self.second[index] for index in order],
            None if self.scores is None else [self.scores[index] for index in order],
            self.name,
        )


def _spread(count: int, start: float) -> list[int]:
    """Return 0 to ``count - 1`` so that every prefix is spread evenly: a low-discrepancy permutation."""
    golden = (math.sqrt(5) - 1) / 2
    points = [(start + golden * step) % 1 for step in range(count)]
    place = {step: rank for rank, step in enumerate(sorted(range(count), key=points.__getitem__))}
    return [place[step] for step in range(count)]


def read_pairs(path: str | Path, columns: Sequence[str] = (), *, delimiter: str | None = None) -> ScoredPairs:
    """Read pairs from a file.

    Args:
        path: a table with a header (``.csv``, ``.tsv``, ``.jsonl``, ``.parquet``) and two columns of sentences, with a
            third of scores or without; or a file of the STS benchmark as it is distributed and as SentEval ships it,
            whatever its suffix: tabs, no header, score and sentences in the fifth to seventh field.
        columns: the names of the two or three columns. Default: names in common use (``sentence1``, ``sentence2``,
            ``score``; ``anchor``, ``positive``).
        delimiter: what separates the fields of a ``.csv`` or ``.tsv``; ``None`` reads it from the header.
    """
    name = str(path)
    if columns and len(columns) not in (2, 3):
        raise CorpusError(
            f"{name!r}: {len(columns)} columns named; name two of sentences and, if there is one, the score's"
        )
    if columns or delimiter or not _is_benchmark(name):
        table = _PairSource.open(name, columns=columns, delimiter=delimiter)
        if table.format == "txt":
            raise CorpusError(f"{name!r} is plain text; pairs come from a table: .tsv, .csv, .jsonl or .parquet")
        rows = list(table.numbered_rows())
    else:
        rows = list(_benchmark(name))
    unit = "row" if Path(name).suffix.lower() == ".parquet" else "line"
    places = [f"{name!r}, {unit} {number}" for number, _ in rows]
    for place, (_, row) in zip(places, rows, strict=True):
        if not all(text.strip() for text in row[:2]):
            raise CorpusError(f"{place}: a sentence is empty; remove the pair")
        if len(row) == 3 and not _is_number(row[2]):
            raise CorpusError(f"{place}: the score {row[2]!r} is no finite number")
    scores = [float(row[2]) for _, row in rows] if len(rows[0][1]) == 3 else None
    return ScoredPairs([row[0] for _, row in rows], [row[1] for _, row in rows], scores, Path(name).name)


@dataclass(frozen=True)
class _PairSource(TextSource):
    """Read the columns of a pair, under any of their common names."""

    def choose(self, existing: Sequence[str]) -> tuple[str, ...]:
        if self.columns:
            return super().choose(existing)
        first, second, score = (column_named(existing, names) for names in (FIRST, SECOND, SCORE))
        if first and second and score:
            return first, second, score
        if first and second:
            self._refuse_unknown_scores(existing)
            return first, second
        if self.format in ("csv", "tsv"):
            check_header(self.name, existing)
        raise CorpusError(
            f"{self.name!r}: which columns hold the pair? Name them with --column (of train: --dev-column), two of "
            f"sentences and, if there is one, the score's; its columns: {listed(existing)}"
        )

    def _refuse_unknown_scores(self, existing: Sequence[str]) -> None:
        """Refuse a column of scores under an unusual name: without its scores, every pair would count as a match."""
        unusual = [name for name in existing if _SCORE_WORDS & set(re.split(r"[^a-z]+", name.casefold()))]
        if unusual:
            raise CorpusError(
                f"{self.name!r}: does {unusual[0]!r} say how similar the sentences are? Call it score, or name the "
                "columns (--column, of train --dev-column): three with it, two without"
            )

    def numeric(self, columns: Sequence[str]) -> Sequence[str]:
        return columns[2:]


def _is_benchmark(name: str) -> bool:
    if Path(name).suffix.lower() not in (".csv", ".tsv", ".txt"):
        return False
    fields = next(TextSource.open(name, "txt").texts()).split("\t")
    return len(fields) >= 7 and _is_number(fields[4])


def _benchmark(name: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    for number, (line,) in TextSource.open(name, "txt").numbered_rows():
        # No quoting: a lone quote is part of a sentence here.
        fields = next(csv.reader([line], delimiter="\t", quoting=csv.QUOTE_NONE), [])
        if not fields:
            continue
        if len(fields) < 7:
            raise CorpusError(f"{name!r}, line {number}: {len(fields)} fields, where the STS benchmark has 7 or more")
        yield number, (fields[5], fields[6], fields[4])


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
