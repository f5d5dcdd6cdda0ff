"""A picture of a training: loss and development score by step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prompteol.corpus import check_picture, save_picture
from prompteol.errors import TrainingError
from prompteol.training.curve import Point

__all__ = ["plot_curve"]

_BLUE, _RED = "#3b6ea8", "#c0392b"


def plot_curve(curve: Sequence[Point], path: str | Path, *, force: bool = False) -> None:
    """Draw the loss against the left axis and the score on the development pairs, if there is one, against the right.

    Args:
        curve: of a training that is done, or :func:`read_curve` of one that runs.
        path: an image, whose suffix names its format.
        force: replace it if it exists.

    Raises:
        TrainingError: there is no point to draw.
        MissingExtraError: matplotlib is not installed.
        CorpusError: the file exists, or its suffix names no kind of picture.
    """
    path = Path(path)
    check_picture(path, force=force)
    losses = [(point.step, point.loss) for point in curve if point.loss is not None]
    scores = [(point.step, point.score) for point in curve if point.score is not None]
    if not losses:
        raise TrainingError("the curve has no point yet; let the training log once, or set log_steps lower")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(*zip(*losses, strict=True), color=_BLUE, label="loss")
    axes.set_xlabel("step")
    axes.set_ylabel("loss", color=_BLUE)
    axes.spines["top"].set_visible(False)
    if scores:
        right = axes.twinx()
        right.plot(*zip(*scores, strict=True), color=_RED, marker="o")
        right.set_ylabel("Spearman x 100 on the development pairs", color=_RED)
        right.spines["top"].set_visible(False)
        best = max(scores, key=lambda scored: scored[1])
        axes.set_title(f"best: {best[1]:.2f} at step {best[0]}; before: {scores[0][1]:.2f}")
    save_picture(figure, path, force=force)
