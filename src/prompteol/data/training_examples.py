"""Read the rows to train on, and check all of them before a model is loaded."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

from prompteol.data.columns import Objective, choose_columns
from prompteol.data.hub import hub_table, license_on_hub
from prompteol.errors import CorpusError, InputError, TrainingError
from prompteol.files import Format, TextSource
from prompteol.files.columns import check_names, named
from prompteol.prompts import PROMPTEOL
from prompteol.validation import check_texts

Negatives = Literal["sample", "all"]
_COLUMNS = {("text",), ("text", "query"), ("anchor", "positive"), ("anchor", "positive", "negative")}
_WANTED = "an anchor, a positive and, if there is one, a negative"

_COLUMNS_NAMED: Mapping[Objective, tuple[int, int, str]] = {
    "contrastive": (2, 3, _WANTED),
    "unsupervised": (1, 1, "one column of text"),
    "distillation": (1, 2, "one column of text, and perhaps one of queries"),
}


@dataclass(frozen=True)
class TrainingExamples:
    """Hold rows of texts: ``anchor``, ``positive`` and perhaps ``negative``; or ``text``, perhaps with its ``query``.

    A query may be empty: then its row is a sentence, else it is a passage and what asks for it. Any other text that is
    empty, or a negative that equals its anchor or a positive of that anchor in any row, is a :class:`TrainingError`.
    ``places`` say in messages where each row stands; by default its index.
    """

    columns: Mapping[str, Sequence[str]]
    name: str = "given examples"
    license: str | None = None
    places: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if tuple(self.columns) not in _COLUMNS:
            raise TrainingError(
                f"{self.name}: columns {list(self.columns)}; expected text alone, text and query, or anchor and "
                "positive, and after them negative where there is one"
            )
        lengths = {name: len(texts) for name, texts in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise TrainingError(f"{self.name}: columns of different lengths: {lengths}")
        if not len(self):
            raise TrainingError(f"{self.name} holds no row")
        for column, texts in self.columns.items():
            _check_column(self.name, column, texts)
        self._check_rows()
        if len(self.columns) == 3:
            self._check_negatives()

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    @cached_property
    def digest(self) -> str:
        """Hash all texts and their order to sixteen hex digits."""
        digest = hashlib.sha256()
        for name, texts in self.columns.items():
            digest.update(name.encode() + b"\0")
            for text in texts:
                digest.update(text.encode() + b"\0")
        return digest.hexdigest()[:16]

    @property
    def repeated(self) -> list[tuple[str, str]]:
        """List the rows whose positive an earlier row has too: in one batch it is a negative of its own anchor."""
        first: dict[str, int] = {}
        rows = ((first.setdefault(text, index), index) for index, text in enumerate(self.columns.get("positive", ())))
        return [(self._place(earlier), self._place(index)) for earlier, index in rows if earlier != index]

    def _check_rows(self) -> None:
        for index, row in enumerate(zip(*self.columns.values(), strict=True)):
            for name, text in zip(self.columns, row, strict=True):
                if not text.strip() and (name != "query" or text):
                    raise TrainingError(f"{self.name}, {self._place(index)}: {name} is empty; remove the row")

    def _check_negatives(self) -> None:
        # As the default template normalizes them, so that texts equal to the model are equal here.
        anchors, positives, negatives = (list(map(PROMPTEOL.normalize, texts)) for texts in self.columns.values())
        positive_in = {pair: index for index, pair in enumerate(zip(anchors, positives, strict=True))}
        for index, (anchor, positive, negative) in enumerate(zip(anchors, positives, negatives, strict=True)):
            where, shown = f"{self.name}, {self._place(index)}", repr(self.columns["negative"][index])
            if negative in (anchor, positive):
                equal = "anchor" if negative == anchor else "positive"
                raise TrainingError(
                    f"{where}: the negative equals the {equal}, {shown:.60}: the loss would push a text from itself; "
                    "remove the row"
                )
            if (anchor, negative) in positive_in:
                raise TrainingError(
                    f"{where}: the negative {shown:.60} is the positive of the same anchor in "
                    f"{self._place(positive_in[anchor, negative])}; remove one of the two rows"
                )

    def _place(self, index: int) -> str:
        return self.places[index] if self.places else f"row {index}"


def _check_column(name: str, column: str, texts: Sequence[str]) -> None:
    try:
        check_texts(texts)
    except InputError as error:
        raise InputError(f"{name}, column {column!r}: {error}") from error


def read_examples(
    source: str | Path,
    objective: Objective = "contrastive",
    columns: Sequence[str] = (),
    *,
    license: str | None = None,
    delimiter: str | None = None,
    negatives: Negatives = "sample",
    seed: int = 42,
) -> TrainingExamples:
    """Read rows from a file, or from a data set on the Hub.

    Args:
        source: a table with a header (``.csv``, ``.tsv``, ``.jsonl``, ``.parquet``); plain text, one per line, where
            one column is wanted; or the name of a data set on the Hub, behind a colon its configuration, and behind an
            at sign its split, by default ``train``: ``"sentence-transformers/all-nli:triplet@dev"``.
        objective: decides what is wanted: two or three columns for ``"contrastive"``, else one.
        columns: their names in the order anchor, positive, negative. Default: names in common use, without case
            (``anchor, positive, negative``; ``sent0, sent1, hard_neg``; ``text``); one of texts may be the only one.
        license: the license of the data; ``None`` takes what the Hub states.
        delimiter: what separates the fields of a ``.csv`` or ``.tsv``; ``None`` reads it from the header.
        negatives: where positives and negatives are lists, ``{"query": "...", "pos": ["..."], "neg": ["...", "..."]}``,
            each positive is a row, and ``"sample"`` draws one of the negatives for it; ``"all"`` makes a row with each.
        seed: the seed of that draw.
    """
    name = str(source)
    contrastive = objective == "contrastive"
    fewest, most, wanted = _COLUMNS_NAMED[objective]
    if columns and not fewest <= len(columns) <= most:
        raise CorpusError(f"{name!r}: {len(columns)} columns named; {objective} training takes {wanted}")
    # A dot alone makes no file: names on the Hub have them, as in wikimedia/wikipedia:20231101.en.
    on_hub = not (Path(name).exists() or Path(name).suffix.lstrip(".").lower() in get_args(Format) or name == "-")
    if on_hub:
        rows, unit = _hub_rows(name, objective, columns, negatives, seed), "row"
    else:
        table = _ExampleSource.open(name, columns=columns, delimiter=delimiter)
        if table.format == "txt" and contrastive:
            raise CorpusError(
                f"{name!r} is plain text; contrastive training takes a table with {_WANTED}: .csv, .tsv, .jsonl or "
                ".parquet. Plain text suits --objective unsupervised"
            )
        table = replace(table, objective=objective, negatives=negatives, seed=seed)
        rows, unit = list(table.numbered_rows()), "row" if table.format == "parquet" else "line"
    names = ("anchor", "positive", "negative") if contrastive else ("text", "query")
    columns_of_texts = dict(zip(names, map(list, zip(*(row for _, row in rows), strict=True)), strict=False))
    places = [f"{unit} {number}" for number, _ in rows]
    if on_hub:
        return TrainingExamples(columns_of_texts, name, license or license_on_hub(name), places)
    return TrainingExamples(columns_of_texts, Path(name).name, license, places)


@dataclass(frozen=True)
class _ExampleSource(TextSource):
    """Read the columns of an example, under any of their common names."""

    objective: Objective = "contrastive"
    negatives: Negatives = "sample"
    seed: int = 42

    def choose(self, existing: Sequence[str]) -> tuple[str, ...]:
        if self.columns:
            return super().choose(existing)
        return choose_columns(self.name, existing, self.objective)

    def expand(self, values: Sequence[object], columns: Sequence[str], where: str) -> Iterator[tuple[object, ...]]:
        if self.objective == "contrastive":
            return _example_rows(values, columns, where, self.negatives, self.seed)
        return super().expand(values, columns, where)


def _hub_rows(
    name: str, objective: Objective, columns: Sequence[str], negatives: Negatives, seed: int
) -> list[tuple[int, tuple[str, ...]]]:
    """Return numbered rows of a data set on the Hub."""
    table = hub_table(name)
    existing = table.column_names
    check_names(name, existing, columns)
    taken = tuple(named(name, existing, one) for one in columns) or choose_columns(name, existing, objective)
    rows = list(enumerate(zip(*(table[column] for column in taken), strict=True)))
    if objective == "contrastive":
        rows = [
            (number, row)
            for number, values in rows
            for row in _example_rows(values, taken, f"{name!r}, row {number}", negatives, seed)
        ]
    for column, texts in zip(taken, zip(*(row for _, row in rows), strict=True), strict=False):
        _check_column(name, column, texts)
    return rows


def _example_rows(
    values: Sequence[object], columns: Sequence[str], where: str, negatives: Negatives, seed: int
) -> Iterator[tuple[object, ...]]:
    """Yield a record of anchor, positive and perhaps negative, or a row for each positive where they are lists.

    ``"sample"`` draws a negative for each positive, none twice while there are others; ``"all"`` takes each. The draw
    depends on the anchor and not on the order of the records.
    """
    if not any(isinstance(value, list) for value in values):
        yield tuple(values)
        return
    anchor, *lists = values
    if isinstance(anchor, list):
        raise CorpusError(f"{where}: {columns[0]!r} is a list; expected one text, and lists of positives and negatives")
    for column, texts in zip(columns[1:], lists, strict=True):
        if texts == []:
            without = " ".join(f"--column {name}" for name in columns[:-1])
            hint = f", or train without negatives ({without})" if (column,) == tuple(columns[2:]) else ""
            raise CorpusError(f"{where}: {column!r} is an empty list; remove the row{hint}")
    positives, *given = (texts if isinstance(texts, list) else [texts] for texts in lists)
    if not given:
        yield from ((anchor, positive) for positive in positives)
    elif negatives == "all":
        yield from ((anchor, positive, negative) for positive in positives for negative in given[0])
    else:
        # Seeded with a string, so that the draw is the same in each process and each version of Python.
        drawn = random.Random(f"{seed} {anchor}").sample(given[0], len(given[0]))  # noqa: S311
        yield from ((anchor, positive, drawn[index % len(drawn)]) for index, positive in enumerate(positives))
