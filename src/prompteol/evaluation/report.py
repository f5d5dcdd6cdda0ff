"""Results as tables, ours beside the paper's: for the terminal and as Markdown."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from prompteol.evaluation.description import ModelDescription
from prompteol.evaluation.published import PublishedScores, published_for
from prompteol.evaluation.results import Evaluation
from prompteol.evaluation.tasks import SUITES, Suite

__all__ = ["labels", "markdown", "tables"]

_TITLES: dict[Suite, str] = {
    "sts": "Semantic textual similarity, Spearman × 100",
    "dev": "Development splits, Spearman × 100",
    "transfer": "Transfer, accuracy in percent",
}
_ABSENT = "–"


@dataclass(frozen=True)
class _Row:
    label: str
    cells: list[str]
    style: str = ""


@dataclass(frozen=True)
class _Section:
    title: str
    columns: list[str]
    rows: list[_Row]


def tables(evaluations: Sequence[Evaluation]) -> RenderableType:
    """Return the results for a terminal: a table for each suite, then what was missing, what was run and with what.

    Of fingerprints and of the data's SHA-256 the first 12 digits are shown; Markdown and JSON have them whole.
    """
    parts: list[RenderableType] = []
    for section in _sections(evaluations):
        table = Table(title=section.title, title_justify="left", title_style="bold")
        table.add_column("", overflow="fold")
        for column in section.columns:
            table.add_column(column, justify="right", no_wrap=True)
        for row in section.rows:
            table.add_row(Text(row.label), *(Text(cell) for cell in row.cells), style=row.style)
        parts.append(table)
    parts += [Text(note, style="dim") for note in _notes(evaluations, digits=12)]
    return Group(*parts)


def markdown(evaluations: Sequence[Evaluation]) -> str:
    """Return the results as Markdown: the same tables and notes."""
    blocks = []
    for section in _sections(evaluations):
        head = ["", *section.columns]
        lines = [head, ["---", *["---:"] * len(section.columns)]]
        lines += [[row.label, *row.cells] for row in section.rows]
        table = "\n".join("| " + " | ".join(_escape(cell) for cell in line) + " |" for line in lines)
        blocks.append(f"## {section.title}\n\n{table}\n")
    notes = "\n".join(f"- {_escape(note)}" for note in _notes(evaluations, digits=64))
    return "\n".join([*blocks, notes, ""])


def labels(evaluations: Sequence[Evaluation]) -> list[str]:
    """Return short names for rows, all different where the settings are.

    Of a folder the last part of its path, unless another one shares it. One model that was set up in several ways
    goes by name and what differs: demonstrations, template, layer, dtype.
    """
    models = [evaluation.model for evaluation in evaluations]
    paths: dict[str, set[str]] = {}
    for model in models:
        paths.setdefault(_last_part(model.name), set()).add(model.name)
    named = [model.name if len(paths[_last_part(model.name)]) > 1 else _last_part(model.name) for model in models]
    return [
        ", ".join([label, *_telling(model, [other for other in models if other.name == model.name])])
        for model, label in zip(models, named, strict=True)
    ]


def _last_part(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2] if name.startswith(("/", ".", "~")) else name


def _telling(model: ModelDescription, namesakes: list[ModelDescription]) -> list[str]:
    """Return the settings of a model in which its namesakes are not all alike."""
    columns = zip(*map(_setup, namesakes), strict=True)
    return [own for own, column in zip(_setup(model), columns, strict=True) if len(set(column)) > 1]


def _setup(model: ModelDescription) -> tuple[str, ...]:
    words = [word for _, word in model.demonstrations]
    if len(words) == 1:
        shown = f"demonstration {words[0]!r}"
    else:
        shown = f"{len(words)} demonstrations" if words else "no demonstration"
    layer = "no layer" if model.layer is None else f"layer {model.layer}"
    return shown, model.template or "no template", layer, model.dtype or "no dtype"


def _sections(evaluations: Sequence[Evaluation]) -> list[_Section]:
    sections = []
    for suite, title in _TITLES.items():
        asked = {name for each in evaluations for name in (*each.scores, *each.missing)}
        names = [name for name in SUITES[suite] if name in asked]
        if names:
            average = ["Avg."] if suite != "dev" else []
            labeled = zip(evaluations, labels(evaluations), strict=True)
            rows = [row for each, label in labeled for row in _rows(each, label, suite, names)]
            sections.append(_Section(title, names + average, rows))
    return sections


def _rows(evaluation: Evaluation, label: str, suite: Suite, names: list[str]) -> list[_Row]:
    ours = [evaluation.scores[name].score if name in evaluation.scores else None for name in names]
    paper = published_for(evaluation.model)
    theirs = [paper.scores.get(name) for name in names] if paper else []
    if suite != "dev":
        ours.append(evaluation.average(suite))
        theirs += [paper.average(suite)] if paper else []
    rows = [_Row(label, [_number(score) for score in ours])]
    if paper is None or all(score is None for score in theirs):
        return rows
    difference = [o - t if o is not None and t is not None else None for o, t in zip(ours, theirs, strict=True)]
    return [
        *rows,
        _Row(f"  paper, {paper.method}", [_number(score) for score in theirs], "dim"),
        _Row("  difference", [_number(value, signed=True) for value in difference], "italic"),
    ]


def _notes(evaluations: Sequence[Evaluation], *, digits: int) -> list[str]:
    missing = {name: reason for each in evaluations for name, reason in each.missing.items()}
    notes = [f"missing: {name} ({reason})" for name, reason in missing.items()]
    notes += [f"{each.model.name}: {_settings(each, digits)}" for each in evaluations]
    notes += _once("data, SHA-256", [_data(each, digits) for each in evaluations], evaluations)
    notes += _once("versions", [_named(each.versions) for each in evaluations], evaluations)
    papers = [paper for each in evaluations if (paper := published_for(each.model))]
    return notes + [_source(paper) for paper in papers]


def _once(what: str, said: list[str], evaluations: Sequence[Evaluation]) -> list[str]:
    """Say once what holds for all evaluations, else for each what holds for it."""
    if len(set(said)) == 1:
        return [f"{what}: {said[0]}"] if said[0] else []
    return [f"{what} of {label}: {text}" for label, text in zip(labels(evaluations), said, strict=True) if text]


def _data(evaluation: Evaluation, digits: int) -> str:
    """Give each task one SHA-256, over those of the files it was read from."""
    parts = {name: sorted(score.data.items()) for name, score in evaluation.scores.items() if score.data}
    joined = {name: "".join(digest for _, digest in files).encode() for name, files in parts.items()}
    return _named({name: hashlib.sha256(digests).hexdigest()[:digits] for name, digests in joined.items()})


def _named(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _settings(evaluation: Evaluation, digits: int) -> str:
    model = evaluation.model
    said = [
        f"template {model.template!r} ({model.normalization})" if model.template else "",
        " ".join(f"demonstration {sentence!r} => {word!r}" for sentence, word in model.demonstrations),
        f"layer {model.layer}" if model.layer is not None else "",
        model.dtype or "",
        f"{model.dimensions} dimensions" if model.dimensions else "",
        f"fingerprint {model.fingerprint[:digits]}" if model.fingerprint else "",
        f"{evaluation.seconds:.0f} s" if evaluation.seconds is not None else "",
    ]
    return ", ".join(filter(None, said))


def _source(paper: PublishedScores) -> str:
    return f"paper's figures for {paper.model}, {paper.method}: {paper.source}"


def _number(value: float | None, *, signed: bool = False) -> str:
    if value is None:
        return _ABSENT
    return f"{value:+.2f}" if signed else f"{value:.2f}"


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
