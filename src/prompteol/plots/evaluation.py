"""Draw the results of evaluations: scores by task, and scores against model size beside the paper's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from prompteol.errors import EvaluationError
from prompteol.evaluation.published import PAPER_MODELS, Method, published_for, published_scores
from prompteol.evaluation.report import labels
from prompteol.evaluation.results import Evaluation
from prompteol.evaluation.tasks import SUITES, Suite
from prompteol.plots.picture import BACKGROUND, COLORS, FAINT, INK, SHADE, SPINE, drawing

_SIZE = re.compile(r"[-_](\d+(?:\.\d+)?[kmb])\b", re.IGNORECASE)
_METHODS: dict[Method, tuple[str, str]] = {
    "plain": ("no demonstration", COLORS[0]),
    "in-context": ("one demonstration", COLORS[1]),
    "fine-tuned": ("fine-tuned", COLORS[2]),
}


def plot_tasks(
    evaluations: Sequence[Evaluation], file: str | Path, *, suite: Suite = "sts", force: bool = False
) -> None:
    """Draw a suite's scores as bars, one group a task and one color a model; EvaluationError where there are none."""
    with drawing(file, force=force) as (figure, axes):
        _style(axes)
        names = [name for name in SUITES[suite] if any(name in each.scores for each in evaluations)]
        if not names:
            raise EvaluationError(f"no {suite} score to draw: evaluate with --tasks {suite}")
        averages = [evaluation.average(suite) for evaluation in evaluations]
        columns = names + ["Avg."] * any(average is not None for average in averages)
        width = 0.84 / len(evaluations)
        figure.set_figwidth(min(13.0, max(6.0, 0.42 * len(columns) * (len(evaluations) + 0.6))))
        if len(columns) > len(names):
            axes.axvspan(len(names) - 0.5, len(names) + 0.5, color=SHADE, zorder=0)
        rows = zip(evaluations, averages, labels(evaluations), strict=True)
        for number, (evaluation, average, label) in enumerate(rows):
            heights = {at: evaluation.scores[name].score for at, name in enumerate(names) if name in evaluation.scores}
            if average is not None:
                heights[len(names)] = average
            left = [at + (number - (len(evaluations) - 1) / 2) * width for at in heights]
            bars = axes.bar(left, list(heights.values()), width * 0.92, color=COLORS[number % len(COLORS)], label=label)
            axes.bar_label(bars, fmt="%.1f", fontsize=6.5, padding=2, color=INK)
        axes.set_xticks(range(len(columns)), columns)
        axes.set_xlim(-0.55, len(columns) - 0.45)
        axes.set_ylabel("accuracy, %" if suite == "transfer" else "Spearman × 100")
        axes.tick_params(axis="x", length=0)
        _legend(axes, columns=min(len(evaluations), 3))


def plot_scaling(evaluations: Sequence[Evaluation], file: str | Path, *, force: bool = False) -> int:
    """Draw STS against the number of parameters, the paper's lines behind; return how many results are drawn.

    Only prompted models of a known size are drawn; without one it is an EvaluationError. The height is the mean over
    the STS tasks that all of them share, and so is that of the paper's lines; where the paper gives no scores by task,
    its line is there only when all seven are shared.
    """
    with drawing(file, 7.6, 4.8, force=force) as (_, axes):
        _style(axes)
        sized = [each for each in evaluations if each.model.parameters and each.model.template]
        names = [name for name in SUITES["sts"] if all(name in each.scores for each in sized)]
        if not sized or not names:
            raise EvaluationError("nothing to draw: no STS task is scored in all results of models with a known size")
        whole = len(names) == len(SUITES["sts"])
        for method, (label, color) in _METHODS.items():
            if line := _published_line(method, names, whole=whole):
                style = {"color": color, "alpha": 0.45, "lw": 1.4, "ms": 4}
                axes.plot(*zip(*line, strict=True), "o--", label=f"paper, {label}", **style)
            for number, family in enumerate(_families([each for each in sized if _method(each) == method])):
                shown = f"ours, {label}" if number == 0 else None
                _draw_family(axes, family, names, color=color, label=shown, below=method == "plain")
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.xaxis.set_major_formatter(lambda value, _: _size(value))
        axes.margins(x=0.1, y=0.14)
        axes.set_xlabel("parameters")
        axes.set_ylabel("STS average, Spearman × 100" if whole else f"mean of {', '.join(names)}")
        _legend(axes, columns=3)
    return len(sized)


def _families(evaluations: Sequence[Evaluation]) -> list[list[Evaluation]]:
    """Group models whose names differ by nothing but a size, ``opt-125m`` and ``opt-1.3b``; small ones first."""
    families: dict[str, list[Evaluation]] = {}
    for evaluation in sorted(evaluations, key=lambda each: each.model.parameters or 0):
        families.setdefault(_SIZE.sub("", evaluation.model.name), []).append(evaluation)
    return list(families.values())


def _draw_family(
    axes: Any, family: list[Evaluation], names: list[str], *, color: str, label: str | None, below: bool
) -> None:
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=3, foreground=BACKGROUND)]
    small = {"textcoords": "offset points", "fontsize": 8, "color": INK, "zorder": 2.5, "path_effects": halo}
    xs = [each.model.parameters for each in family]
    ys = [fmean(each.scores[name].score for name in names) for each in family]
    axes.plot(xs, ys, "o-", color=color, lw=2, ms=8, mec=BACKGROUND, mew=1.2, label=label, zorder=3)
    for number, (x, y, each) in enumerate(zip(xs, ys, family, strict=True)):
        # The first point of a line has the model's name, the others the size alone.
        name = each.model.name.rstrip("/").rpartition("/")[2]
        size = _SIZE.search(name)
        text = size.group(1) if number and size else name
        # ... and stands to the left, where no point of its own line is.
        side = "right" if number == 0 and len(family) > 1 else "center"
        axes.annotate(text, (x, y), (8 if side == "right" else 0, -16 if below else 9), ha=side, **small)


def _method(evaluation: Evaluation) -> Method:
    if paper := published_for(evaluation.model):
        return paper.method
    return "in-context" if evaluation.model.demonstrations else "plain"


def _published_line(method: Method, names: list[str], *, whole: bool) -> list[tuple[int, float]]:
    """Return (parameters, mean) of the paper's OPT models, small ones first."""
    line = []
    for row in published_scores():
        height = row.average("sts") if whole else None
        if all(name in row.scores for name in names):
            height = fmean(row.scores[name] for name in names)
        if row.method == method and "opt" in row.model and height is not None:
            line.append((PAPER_MODELS[row.model].parameters, height))
    return sorted(line)


def _size(parameters: float) -> str:
    for unit, scale in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if parameters >= scale:
            return f"{parameters / scale:g}{unit}"
    return f"{parameters:g}"


def _style(axes: Any) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(SPINE)
    axes.grid(axis="y", color=FAINT, lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, length=0)
    axes.yaxis.label.set_color(INK)
    axes.xaxis.label.set_color(INK)


def _legend(axes: Any, *, columns: int) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.01), ncols=columns, frameon=False, fontsize=9, labelcolor=INK)
