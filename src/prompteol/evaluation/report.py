"""Show results as tables beside the paper's figures, on the terminal and as Markdown."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from prompteol.evaluation.published import published_for
from prompteol.evaluation.results import Evaluation, ModelDescription
from prompteol.evaluation.tasks import SUITES, TASKS, Suite

_AVERAGED: dict[str, Suite] = {"sts": "sts", "transfer": "transfer"}
_TITLES: dict[str, str] = {
    "sts": "Semantic textual similarity, Spearman × 100",
    "dev": "Development splits, Spearman × 100",
    "transfer": "Transfer, accuracy in percent",
}


# The cells of a row, its label first, and its style on a terminal.
_Row = tuple[list[str], str]


def tables(evaluations: Sequence[Evaluation]) -> RenderableType:
    """Return the results for a terminal: a table for each suite, then what was missing, what was run and with what."""
    parts: list[RenderableType] = []
    for title, columns, rows in _sections(evaluations):
        table = Table(title=title, title_justify="left", title_style="bold")
        table.add_column("", overflow="fold")
        for column in columns:
            table.add_column(column, justify="right", no_wrap=True)
        for cells, style in rows:
            table.add_row(*map(Text, cells), style=style)
        parts.append(table)
    parts += [Text(note, style="dim") for note in _notes(evaluations, digits=12)]
    return Group(*parts)


def markdown(evaluations: Sequence[Evaluation]) -> str:
    """Return the results as Markdown: the same tables and notes."""
    blocks = []
    for title, columns, rows in _sections(evaluations):
        lines = [["", *columns], ["---", *["---:"] * len(columns)], *(cells for cells, _ in rows)]
        table = "\n".join("| " + " | ".join(_escape(cell) for cell in line) + " |" for line in lines)
        blocks.append(f"## {title}\n\n{table}\n")
    notes = "\n".join(f"- {_escape(note)}" for note in _notes(evaluations, digits=64))
    return "\n".join([*blocks, notes, ""])


def labels(evaluations: Sequence[Evaluation]) -> list[str]:
    """Return short names for rows: the last part of a path, and what differs where one model was set up twice."""
    models = [evaluation.model for evaluation in evaluations]
    sharing = Counter(map(_last_part, {model.name for model in models}))
    found = []
    for model in models:
        last = _last_part(model.name)
        namesakes = [_setup(one) for one in models if one.name == model.name]
        telling = [own for own, *others in zip(_setup(model), *namesakes, strict=True) if len(set(others)) > 1]
        found.append(", ".join([model.name if sharing[last] > 1 else last, *telling]))
    return found


def _last_part(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2] if name.startswith(("/", ".", "~")) else name


def _setup(model: ModelDescription) -> tuple[str, ...]:
    match model.demonstrations:
        case ():
            shown = "no demonstration"
        case ((_, word),):
            shown = f"demonstration {word!r}"
        case several:
            shown = f"{len(several)} demonstrations"
    layer = "no layer" if model.layer is None else f"layer {model.layer}"
    return shown, model.template or "no template", layer, model.technique or "no technique", model.dtype or "no dtype"


def _sections(evaluations: Sequence[Evaluation]) -> Iterator[tuple[str, list[str], list[_Row]]]:
    """Yield title, columns and rows of each table."""
    present = dict.fromkeys(name for each in evaluations for name in (*each.scores, *each.missing))
    suites: dict[str, list[str]] = {suite: [name for name in SUITES[suite] if name in present] for suite in SUITES}
    for name in present:
        # Results name tasks that are not registered where they are read.
        names = suites.setdefault(TASKS[name].suite if name in TASKS else "other tasks", [])
        if name not in names:
            names.append(name)
    for suite, names in suites.items():
        if names:
            average = ["Avg."] if suite in _AVERAGED else []
            labeled = zip(evaluations, labels(evaluations), strict=True)
            rows = [row for each, label in labeled for row in _rows(each, label, suite, names)]
            yield _TITLES.get(suite, suite), names + average, rows


def _rows(evaluation: Evaluation, label: str, suite: str, names: list[str]) -> list[_Row]:
    ours = [evaluation.scores[name].score if name in evaluation.scores else None for name in names]
    paper = published_for(evaluation.model)
    theirs = [paper.scores.get(name) for name in names] if paper else []
    if suite in _AVERAGED:
        ours.append(evaluation.average(_AVERAGED[suite]))
        theirs += [paper.average(_AVERAGED[suite])] if paper else []
    rows = [([label, *_numbers(ours)], "")]
    if paper and any(score is not None for score in theirs):
        difference = [o - t if o is not None and t is not None else None for o, t in zip(ours, theirs, strict=True)]
        rows.append(([f"  paper, {paper.method}", *_numbers(theirs)], "dim"))
        rows.append((["  difference", *_numbers(difference, "+.2f")], "italic"))
    return rows


def _notes(evaluations: Sequence[Evaluation], *, digits: int) -> list[str]:
    missing = {name: reason for each in evaluations for name, reason in each.missing.items()}
    notes = [f"missing: {name} ({reason})" for name, reason in missing.items()]
    notes += [f"{each.model.name}: {_settings(each, digits)}" for each in evaluations]
    notes += _once("data, SHA-256", [_data(each, digits) for each in evaluations], evaluations)
    notes += _once("versions", [_named(each.versions) for each in evaluations], evaluations)
    papers = [paper for each in evaluations if (paper := published_for(each.model))]
    return notes + [f"paper's figures for {paper.model}, {paper.method}: {paper.source}" for paper in papers]


def _once(what: str, texts: list[str], evaluations: Sequence[Evaluation]) -> list[str]:
    """Return one line where all evaluations have the same text, else a line for each."""
    if len(set(texts)) == 1:
        return [f"{what}: {texts[0]}"] if texts[0] else []
    return [f"{what} of {label}: {text}" for label, text in zip(labels(evaluations), texts, strict=True) if text]


def _data(evaluation: Evaluation, digits: int) -> str:
    """Give each task one SHA-256, over those of the files it was read from."""
    parts = {name: score.data for name, score in evaluation.scores.items() if score.data}
    joined = {name: "".join(data[file] for file in sorted(data)).encode() for name, data in parts.items()}
    return _named({name: hashlib.sha256(digests).hexdigest()[:digits] for name, digests in joined.items()})


def _named(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _settings(evaluation: Evaluation, digits: int) -> str:
    model = evaluation.model
    settings = [
        f"template {model.template!r} ({model.normalization})" if model.template else "",
        " ".join(f"demonstration {sentence!r} => {word!r}" for sentence, word in model.demonstrations),
        f"layer {model.layer}" if model.layer is not None else "",
        f"technique {model.technique}" if model.technique else "",
        model.dtype or "",
        f"{model.dimensions} dimensions" if model.dimensions else "",
        f"fingerprint {model.fingerprint[:digits]}" if model.fingerprint else "",
        f"{evaluation.seconds:.0f} s" if evaluation.seconds is not None else "",
    ]
    return ", ".join(filter(None, settings))


def _numbers(values: Sequence[float | None], form: str = ".2f") -> list[str]:
    return ["–" if value is None else format(value, form) for value in values]


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
