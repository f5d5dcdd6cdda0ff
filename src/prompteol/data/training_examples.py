"""The rows to train on: read, and checked to the last one, before any model is loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from prompteol.data.columns import choose_columns, refuse_labels
from prompteol.data.hub import hub_table, license_on_hub
from prompteol.data.positives import Negatives, example_rows
from prompteol.errors import CorpusError, InputError, TrainingError
from prompteol.files import Format, TextSource
from prompteol.prompts import PROMPTEOL
from prompteol.training.recipe import Objective
from prompteol.validation import check_texts

__all__ = ["TrainingExamples", "read_examples"]


@dataclass(frozen=True)
class TrainingExamples:
    """Rows of texts: ``anchor``, ``positive`` and perhaps ``negative``; or ``text`` alone.

    Args:
        columns: of equal length, in this order.
        name: where they come from, for messages and the model card.
        license: as its publisher states it; ``None`` where nobody does.
        places: where each row stands, for messages; by default its index.

    Raises:
        TrainingError: naming the row of an empty text, or of a negative that equals its anchor, its positive, or a
            positive of the same anchor in another row.
        InputError: naming the column and index of a text that is no Unicode.
    """

    columns: Mapping[str, Sequence[str]]
    name: str = "given examples"
    license: str | None = None
    places: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if tuple(self.columns) not in {("text",), ("anchor", "positive"), ("anchor", "positive", "negative")}:
            raise TrainingError(
                f"{self.name}: columns {list(self.columns)}; expected text alone, or anchor and positive, and after "
                "them negative where there is one"
            )
        lengths = {name: len(texts) for name, texts in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise TrainingError(f"{self.name}: columns of different lengths: {lengths}")
        if not len(self):
            raise TrainingError(f"{self.name} holds no row")
        for column, texts in self.columns.items():
            _check_column(self.name, column, texts)
        self._check_rows()

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    @cached_property
    def digest(self) -> str:
        """Sixteen hex digits over all texts and their order."""
        digest = hashlib.sha256()
        for name, texts in self.columns.items():
            digest.update(name.encode() + b"\0")
            for text in texts:
                digest.update(text.encode() + b"\0")
        return digest.hexdigest()[:16]

    @property
    def repeated(self) -> list[tuple[str, str]]:
        """The places of rows with one positive, an earlier row's first: in one batch a negative of its own anchor."""
        first: dict[str, int] = {}
        rows = ((first.setdefault(text, index), index) for index, text in enumerate(self.columns.get("positive", ())))
        return [(self._place(earlier), self._place(index)) for earlier, index in rows if earlier != index]

    def _check_rows(self) -> None:
        for index, row in enumerate(zip(*self.columns.values(), strict=True)):
            for name, text in zip(self.columns, row, strict=True):
                if not text.strip():
                    raise TrainingError(f"{self._where(index)}: {name} is empty; remove the row")
            for name, text in zip(self.columns, row[:-1], strict=False):
                if len(row) == 3 and _as_read(text) == _as_read(row[2]):
                    raise TrainingError(
                        f"{self._where(index)}: the negative equals the {name}, {text!r:.60}: the loss would push a "
                        "text from itself; remove the row"
                    )
        if len(self.columns) == 3:
            self._check_contradictions()

    def _check_contradictions(self) -> None:
        anchors, positives, negatives = (list(map(_as_read, texts)) for texts in self.columns.values())
        positive_in = {pair: index for index, pair in enumerate(zip(anchors, positives, strict=True))}
        for index, pair in enumerate(zip(anchors, negatives, strict=True)):
            if pair in positive_in:
                negative = self.columns["negative"][index]
                raise TrainingError(
                    f"{self._where(index)}: the negative {negative!r:.60} is the positive of the same anchor in "
                    f"{self._place(positive_in[pair])}; remove one of the two rows"
                )

    def _where(self, index: int) -> str:
        return f"{self.name}, {self._place(index)}"

    def _place(self, index: int) -> str:
        return self.places[index] if self.places else f"row {index}"


def _as_read(text: str) -> str:
    """Return a text as the default template puts it before the model: texts that it makes equal are equal."""
    return PROMPTEOL.normalize(text)


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
        source: a table with a header (``.csv``, ``.tsv``, ``.jsonl``, ``.parquet``); plain text, a text a line, where
            one column is wanted; or the name of a data set on the Hub, behind a colon its configuration, and behind an
            at sign its split, by default ``train``: ``"sentence-transformers/all-nli:triplet@dev"``.
        objective: decides what is wanted: two or three columns for ``"contrastive"``, else one.
        columns: their names in the order anchor, positive, negative. Default: names in common use, without case
            (``anchor, positive, negative``; ``sent0, sent1, hard_neg``; ``text``), else all there are if there are
            just so many, no name says that a column is something else, and none holds labels or numbers.
        license: of the data; ``None`` is what the Hub states.
        delimiter: what separates the fields of a ``.csv`` or ``.tsv``; ``None`` reads it from the header.
        negatives: where positives and negatives are lists, ``{"query": "...", "pos": ["..."], "neg": ["...", "..."]}``,
            each positive is a row, and ``"sample"`` draws one of the negatives for it; ``"all"`` makes a row with each.
        seed: of that draw.

    Raises:
        CorpusError: the file cannot be read, or lacks a column; with the line.
        TrainingError: a row cannot be trained on; with the line.
        MissingExtraError: a Hub name, and no datasets.
    """
    name = str(source)
    wanted = (2, 3) if objective == "contrastive" else (1,)
    if columns and len(columns) not in wanted:
        raise CorpusError(f"{name!r}: {len(columns)} columns named; {objective} training takes {_said(wanted)}")
    # A dot alone makes no file: names on the Hub have them, as in wikimedia/wikipedia:20231101.en.
    if Path(name).exists() or Path(name).suffix.lstrip(".").lower() in get_args(Format) or name == "-":
        return _from_file(name, objective, columns, license, delimiter, negatives, seed)
    return _from_hub(name, objective, columns, license, negatives, seed)


def _said(widths: Sequence[int]) -> str:
    return "an anchor, a positive and, if there is one, a negative" if 2 in widths else "one column of text"


def _columns(rows: Iterable[Sequence[Any]], width: int) -> dict[str, list[str]]:
    names = ("text",) if width == 1 else ("anchor", "positive", "negative")[:width]
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


@dataclass(frozen=True)
class _ExampleSource(TextSource):
    """A table of which the columns of an example are wanted, under any of their common names."""

    objective: Objective = "contrastive"
    negatives: Negatives = "sample"
    seed: int = 42
    chosen: list[str] = field(default_factory=list)

    def choose(self, existing: Sequence[str]) -> tuple[str, ...]:
        if self.columns:
            return super().choose(existing)
        self.chosen[:] = choose_columns(self.name, existing, self.objective)
        return tuple(self.chosen)

    def expand(self, values: Sequence[object], columns: Sequence[str], where: str) -> Iterator[tuple[object, ...]]:
        if self.objective == "contrastive":
            return example_rows(values, columns, where, negatives=self.negatives, seed=self.seed)
        return super().expand(values, columns, where)


def _from_file(
    name: str,
    objective: Objective,
    columns: Sequence[str],
    license: str | None,
    delimiter: str | None,
    negatives: Negatives,
    seed: int,
) -> TrainingExamples:
    source = TextSource.open(name, delimiter=delimiter)
    if source.format == "txt" and objective == "contrastive":
        raise CorpusError(
            f"{name!r} is plain text; contrastive training takes a table with {_said((2, 3))}: .csv, .tsv, .jsonl or "
            ".parquet. Plain text suits --recipe unsupervised"
        )
    table = _ExampleSource(
        source.name,
        source.format,
        tuple(columns),
        delimiter=source.delimiter,
        objective=objective,
        negatives=negatives,
        seed=seed,
    )
    rows = list(table.numbered_rows())
    unit = "row" if table.format == "parquet" else "line"
    named = _columns((row for _, row in rows), len(rows[0][1]))
    if table.chosen:
        refuse_labels(name, table.chosen, named.values())
    return TrainingExamples(named, Path(name).name, license, [f"{unit} {number}" for number, _ in rows])


def _from_hub(
    name: str, objective: Objective, columns: Sequence[str], license: str | None, negatives: Negatives, seed: int
) -> TrainingExamples:
    table = hub_table(name)
    missing = [column for column in columns if column not in table.column_names]
    if missing:
        raise CorpusError(f"{name!r} has no column {missing[0]!r}; its columns: {', '.join(table.column_names)}")
    chosen = tuple(columns) or choose_columns(name, table.column_names, objective)
    records = zip(*(table[column] for column in chosen), strict=True)
    numbered: list[tuple[int, Sequence[object]]] = list(enumerate(records))
    if objective == "contrastive":
        numbered = [
            (number, row)
            for number, values in numbered
            for row in example_rows(values, chosen, f"{name!r}, row {number}", negatives=negatives, seed=seed)
        ]
    named = _columns((row for _, row in numbered), len(chosen))
    for column, texts in zip(chosen, named.values(), strict=True):
        _check_column(name, column, texts)
    if not columns:
        refuse_labels(name, chosen, named.values())
    return TrainingExamples(named, name, license or license_on_hub(name), [f"row {number}" for number, _ in numbered])
