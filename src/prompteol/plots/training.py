"""A picture of a training: loss and development score by step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prompteol.errors import TrainingError
from prompteol.plots.picture_file import check_picture, save_picture
from prompteol.training.curve import Point

__all__ = ["plot_curve"]

_BLUE, _RED = "#3b6ea8", "#c0392b"
# So many values of the loss are drawn with a mark each.
_FEW = 50


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
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    # A line through one value is not to be seen, and one through few hides how few they are.
    axes.plot(*zip(*losses, strict=True), color=_BLUE, marker="." if len(losses) <= _FEW else None)
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("loss", color=_BLUE)
    axes.spines["top"].set_visible(False)
    if scores:
        right = axes.twinx()
        right.plot(*zip(*scores, strict=True), color=_RED, marker="o")
        right.set_ylabel("Spearman x 100 on the development pairs", color=_RED)
        right.spines["top"].set_visible(False)
        axes.set_title(_title(scores))
    save_picture(figure, path, force=force)


def _title(scores: Sequence[tuple[int, float]]) -> str:
    """Say the best score of the training, and that of the base, which is step 0."""
    before = next((f"before: {score:.2f}" for step, score in scores if step == 0), "")
    trained = [scored for scored in scores if scored[0] > 0]
    if not trained:
        return before
    step, best = max(trained, key=lambda scored: scored[1])
    return "; ".join(filter(None, (f"best: {best:.2f} at step {step}", before)))
