"""Draw the curve of a training: loss and development score by step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prompteol.errors import TrainingError
from prompteol.plots.picture import LOSS, SCORE, canvas, check_picture, save_picture
from prompteol.training.curve import Point

# So many values of the loss are drawn with a mark each.
_FEW = 50


def plot_curve(curve: Sequence[Point], path: str | Path, *, force: bool = False) -> None:
    """Draw the loss against the left axis and the score on the development pairs, if there is one, against the right.

    The curve is that of a training that is done, or :func:`read_curve` of one that runs. One without a point is a
    TrainingError.
    """
    path = Path(path)
    check_picture(path, force=force)
    losses = [(point.step, point.loss) for point in curve if point.loss is not None]
    scores = [(point.step, point.score) for point in curve if point.score is not None]
    if not losses:
        raise TrainingError("the curve has no point yet; let the training log once, or set log_steps lower")
    from matplotlib.ticker import MaxNLocator

    figure, axes = canvas()
    # A line through one value is not to be seen, and one through few hides how few they are.
    axes.plot(*zip(*losses, strict=True), color=LOSS, marker="." if len(losses) <= _FEW else None)
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_ylabel("loss", color=LOSS)
    axes.spines["top"].set_visible(False)
    if scores:
        right = axes.twinx()
        right.plot(*zip(*scores, strict=True), color=SCORE, marker="o")
        right.set_ylabel("Spearman x 100 on the development pairs", color=SCORE)
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
