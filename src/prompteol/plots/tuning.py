"""Pictures of a search: how scores spread over the demonstrations, and how they change with the layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from prompteol.plots.picture_file import check_picture, save_picture
from prompteol.tuning.result import TuningResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_layers", "plot_scores"]

_BARS = 30
_BLUE, _RED, _GREY = "#3b6ea8", "#c0392b", "0.6"


def plot_scores(result: TuningResult, path: str | Path, *, force: bool = False) -> None:
    """Draw the distribution of scores over demonstrations, with a line for none: the paper's Figure 2.

    All prompts with one demonstration are shown, each at its best layer; the scores of those that left early are
    estimates.

    Args:
        result: of a search.
        path: an image, whose suffix names its format.
        force: replace it if it exists.
    """
    path = Path(path)
    check_picture(path, force=force)
    shown = [one for one in result.standings if len(one.candidate.demonstrations) == 1]
    exact = all(one.pairs == result.best.pairs for one in shown)
    scores = [one.score for one in shown]
    without = result.baseline.score
    better = sum(score > without for score in scores)
    figure, axes = _figure()
    axes.hist(scores, bins=min(_BARS, max(5, len(scores) // 4)), color=_BLUE, edgecolor="white")
    axes.axvline(without, color=_RED, linewidth=2, label=f"no demonstration ({without:.2f})")
    axes.set_xlabel("score on all pairs" + (", estimated for those that left early" if not exact else ""))
    axes.set_ylabel("demonstrations")
    axes.set_title(f"{better} of {len(scores)} demonstrations beat none")
    axes.legend()
    save_picture(figure, path, force=force)


def plot_layers(result: TuningResult, path: str | Path, *, force: bool = False) -> None:
    """Draw the score at each layer, of the best prompt, of no demonstration, and of the others scored on all pairs.

    Args:
        result: of a search.
        path: an image, whose suffix names its format.
        force: replace it if it exists.
    """
    path = Path(path)
    check_picture(path, force=force)
    figure, axes = _figure()
    others = [one for one in result.standings if one.pairs == result.best.pairs]
    for number, one in enumerate(one for one in others if one not in (result.best, result.baseline)):
        label = "other finalists" if number == 0 else None
        axes.plot(one.layers, one.scores, color=_GREY, linewidth=0.8, alpha=0.7, label=label)
    axes.plot(result.baseline.layers, result.baseline.scores, color=_RED, marker="o", label="no demonstration")
    if result.best is not result.baseline:
        axes.plot(result.best.layers, result.best.scores, color=_BLUE, marker="o", label="best prompt")
    axes.axvline(result.layer, color=_BLUE, linestyle=":", linewidth=1)
    axes.set_xticks(result.best.layers if len(result.best.layers) <= 16 else result.best.layers[::-4][::-1])
    axes.set_xlabel("layer (-1 is the last, after the final norm)")
    axes.set_ylabel("score on all pairs")
    axes.set_title(f"best: {result.best.score:.2f} at layer {result.layer}")
    axes.legend()
    save_picture(figure, path, force=force)


def _figure() -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
