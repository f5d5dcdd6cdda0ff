"""Results to look at: scores by task against baselines, and scores against model size beside the paper's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prompteol.errors import EvaluationError
from prompteol.evaluation.paper_models import PAPER_MODELS
from prompteol.evaluation.published import Method, published_for, published_scores
from prompteol.evaluation.report import labels
from prompteol.evaluation.results import Evaluation
from prompteol.evaluation.tasks import SUITES, Suite
from prompteol.plots.picture_file import check_picture, save_picture

__all__ = ["plot_scaling", "plot_tasks"]

# Okabe and Ito's colors, which readers with any color vision tell apart.
_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999", "#F0E442")
_INK, _FAINT = "#333333", "#E4E4E4"
_SIZE = re.compile(r"[-_](\d+(?:\.\d+)?[kmb])\b", re.IGNORECASE)
_METHODS: dict[Method, tuple[str, str]] = {
    "plain": ("no demonstration", _COLORS[0]),
    "in-context": ("one demonstration", _COLORS[1]),
    "fine-tuned": ("fine-tuned", _COLORS[2]),
}


def plot_tasks(
    evaluations: Sequence[Evaluation], file: str | Path, *, suite: Suite = "sts", force: bool = False
) -> None:
    """Draw a suite's scores as bars, one group a task and one color a model.

    Args:
        evaluations: in the order of the bars.
        file: an image, whose suffix names its format.
        suite: which tasks.
        force: replace the image if it exists.

    Raises:
        EvaluationError: no model has a score there.
        CorpusError: the file exists, or its suffix names no kind of picture.
        MissingExtraError: matplotlib is not installed.
    """
    check_picture(Path(file), force=force)
    names = [name for name in SUITES[suite] if any(name in each.scores for each in evaluations)]
    if not names:
        raise EvaluationError(f"no {suite} score to draw: evaluate with --tasks {suite}")
    averages = [evaluation.average(suite) for evaluation in evaluations]
    columns = names + ["Avg."] * any(average is not None for average in averages)
    width = 0.84 / len(evaluations)
    figure, axes = _canvas(min(13.0, max(6.0, 0.42 * len(columns) * (len(evaluations) + 0.6))), 4.2)
    if len(columns) > len(names):
        axes.axvspan(len(names) - 0.5, len(names) + 0.5, color="#F4F4F4", zorder=0)
    for number, (evaluation, average, label) in enumerate(zip(evaluations, averages, labels(evaluations), strict=True)):
        scored = [(at, evaluation.scores[name].score) for at, name in enumerate(names) if name in evaluation.scores]
        scored += [(len(names), average)] if average is not None else []
        left = [at + (number - (len(evaluations) - 1) / 2) * width for at, _ in scored]
        bars = axes.bar(
            left,
            [score for _, score in scored],
            width * 0.92,
            color=_COLORS[number % len(_COLORS)],
            label=label,
        )
        axes.bar_label(bars, fmt="%.1f", fontsize=6.5, padding=2, color=_INK)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_xlim(-0.55, len(columns) - 0.45)
    axes.set_ylabel("accuracy, %" if suite == "transfer" else "Spearman × 100")
    axes.tick_params(axis="x", length=0)
    _legend(axes, columns=min(len(evaluations), 3))
    save_picture(figure, Path(file), force=force)


def plot_scaling(evaluations: Sequence[Evaluation], file: str | Path, *, force: bool = False) -> None:
    """Draw STS against the number of parameters: the results given, and the paper's lines behind them.

    The height is the mean over the STS tasks that all results share. The paper's lines are the means over the
    same tasks; where the paper gives no scores by task, its line is there only when all seven are shared.

    Args:
        evaluations: those of prompted models with a known size are drawn, baselines are not.
        file: an image, whose suffix names its format.
        force: replace it if it exists.

    Raises:
        EvaluationError: no model with a size, or no task that all of them share.
        CorpusError: the file exists, or its suffix names no kind of picture.
        MissingExtraError: matplotlib is not installed.
    """
    check_picture(Path(file), force=force)
    sized = [each for each in evaluations if each.model.parameters and each.model.template]
    names = [name for name in SUITES["sts"] if all(name in each.scores for each in sized)]
    if not sized or not names:
        raise EvaluationError("nothing to draw: no STS task is scored in all results of models with a known size")
    figure, axes = _canvas(7.6, 4.8)
    for method, (label, color) in _METHODS.items():
        if line := _published_line(method, names):
            style = {"color": color, "alpha": 0.45, "lw": 1.4, "ms": 4}
            axes.plot(*zip(*line, strict=True), "o--", label=f"paper, {label}", **style)
        families = _families([each for each in sized if _method(each) == method])
        for number, family in enumerate(families):
            shown = f"ours, {label}" if number == 0 else None
            _draw_family(axes, family, names, color=color, label=shown, below=method == "plain")
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.xaxis.set_major_formatter(lambda value, _: _size(value))
    axes.margins(x=0.1, y=0.14)
    axes.set_xlabel("parameters")
    axes.set_ylabel("STS average, Spearman × 100" if _is_suite(names) else f"mean of {', '.join(names)}")
    _legend(axes, columns=3)
    save_picture(figure, Path(file), force=force)


def _families(evaluations: Sequence[Evaluation]) -> list[list[Evaluation]]:
    """Group models whose names differ by nothing but a size, ``opt-125m`` and ``opt-1.3b``; small ones first."""
    families: dict[str, list[Evaluation]] = {}
    for evaluation in sorted(evaluations, key=lambda each: each.model.parameters or 0):
        families.setdefault(_SIZE.sub("", evaluation.model.name), []).append(evaluation)
    return list(families.values())


def _draw_family(
    axes: Any, family: list[Evaluation], names: list[str], *, color: str, label: str | None, below: bool
) -> None:
    xs, ys = [each.model.parameters for each in family], [_mean(each, names) for each in family]
    axes.plot(xs, ys, "o-", color=color, lw=2, ms=8, mec="white", mew=1.2, label=label, zorder=3)
    for number, (x, y, each) in enumerate(zip(xs, ys, family, strict=True)):
        # The first point of a line has the model's name, the others the size alone.
        name = each.model.name.rstrip("/").rpartition("/")[2]
        size = _SIZE.search(name)
        text = size.group(1) if number and size else name
        # ... and stands to the left, where no point of its own line is.
        side = "right" if number == 0 and len(family) > 1 else "center"
        offset = (8 if side == "right" else 0, -16 if below else 9)
        axes.annotate(text, (x, y), offset, textcoords="offset points", ha=side, **_small_print())


def _small_print() -> dict[str, Any]:
    from matplotlib.patheffects import withStroke

    return {"fontsize": 8, "color": _INK, "zorder": 2.5, "path_effects": [withStroke(linewidth=3, foreground="white")]}


def _method(evaluation: Evaluation) -> Method:
    paper = published_for(evaluation.model)
    if paper:
        return paper.method
    return "in-context" if evaluation.model.demonstrations else "plain"


def _mean(evaluation: Evaluation, names: list[str]) -> float:
    return sum(evaluation.scores[name].score for name in names) / len(names)


def _published_line(method: Method, names: list[str]) -> list[tuple[int, float]]:
    """Return (parameters, mean) of the paper's OPT models, small ones first."""
    line = []
    for row in published_scores():
        if row.method != method or "opt" not in row.model:
            continue
        if all(name in row.scores for name in names):
            mean = sum(row.scores[name] for name in names) / len(names)
            line.append((PAPER_MODELS[row.model].parameters, mean))
        elif _is_suite(names) and (printed := row.average("sts")) is not None:
            line.append((PAPER_MODELS[row.model].parameters, printed))
    return sorted(line)


def _is_suite(names: list[str]) -> bool:
    return len(names) == len(SUITES["sts"])


def _size(parameters: float) -> str:
    for unit, scale in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if parameters >= scale:
            return f"{parameters / scale:g}{unit}"
    return f"{parameters:g}"


def _canvas(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    # Figure itself, not pyplot: nothing global is touched and no window system is asked for.
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color("#BBBBBB")
    axes.grid(axis="y", color=_FAINT, lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_INK, length=0)
    axes.yaxis.label.set_color(_INK)
    axes.xaxis.label.set_color(_INK)
    return figure, axes


def _legend(axes: Any, *, columns: int) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.01), ncols=columns, frameon=False, fontsize=9, labelcolor=_INK)
