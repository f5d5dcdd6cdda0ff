"""Draw similarities and the curve of a training, in one palette, each picture whole or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prompteol.errors import CorpusError, TrainingError
from prompteol.extras import check_extra
from prompteol.files.atomic import atomic_write, refuse_overwrite

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from prompteol.training.callbacks import Point

PICTURES = (".png", ".jpg", ".svg", ".pdf")
_DOTS_PER_INCH = 200

# Okabe and Ito's colors, which readers with any color vision tell apart: one a model or a method.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999", "#F0E442")
# What a picture is about, what it is compared with, and all else; a training's curve has the first two.
BEST, BASELINE, OTHERS = COLORS[0], COLORS[5], COLORS[6]
LOSS, SCORE = BEST, BASELINE
# A heatmap: matplotlib's name of its colors, from low to high, and the cells of a text with itself.
HEATMAP, DIAGONAL = "viridis", "#D9D9D9"
# Text and axes.
INK, INK_ON_DARK = "#333333", "#FFFFFF"
BACKGROUND, SHADE, FAINT, SPINE = "#FFFFFF", "#F4F4F4", "#E4E4E4", "#BBBBBB"

# With more texts, numbers in the cells and labels at the axes overlap.
_LABELED = 20
_LABEL_LENGTH = 40
# The share of the scale below which cells are dark.
_DARK = 0.6
# So many values of the loss are drawn with a mark each.
_FEW = 50


def check_picture(path: Path | None, *, force: bool = False) -> None:
    """Refuse a path, if there is one, to which no picture could be written, and any without matplotlib."""
    if path is None:
        return
    if path.suffix.lower() not in PICTURES:
        raise CorpusError(f"picture {str(path)!r}: expected a name that ends in {', '.join(PICTURES)}")
    check_extra("plot", "matplotlib")
    refuse_overwrite(path, force=force)


@contextmanager
def drawing(
    path: str | Path, width: float = 7.0, height: float = 4.2, *, force: bool = False
) -> Iterator[tuple[Figure, Any]]:
    """Check a path, yield a figure and its axes, in inches, and write them to it when the block ends."""
    check_picture(Path(path), force=force)
    # Not pyplot's, which are global and may ask for a window system.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    yield figure, figure.subplots()
    save_picture(figure, Path(path), force=force)


def save_picture(figure: Figure, path: Path, *, force: bool = True) -> None:
    """Write a figure to a file, whose suffix names the format; see :func:`atomic_write` for ``force``."""
    with atomic_write(path, force=force) as partial:
        figure.savefig(partial, format=path.suffix.lstrip(".").lower(), dpi=_DOTS_PER_INCH)


def plot_similarity(
    texts: Sequence[str], scores: Sequence[Sequence[float]], path: str | Path, *, force: bool = False
) -> None:
    """Draw the similarities of all texts with all texts.

    The colors are spread over the similarities of different texts: on the diagonal all are 1.

    Args:
        texts: label the rows and columns.
        scores: (texts, texts) similarities, such as ``model.similarity(vectors, vectors).tolist()``.
        path: an image, whose suffix names its format.
        force: replace it if it exists.
    """
    import numpy as np

    count = len(texts)
    size = 3 + 0.4 * min(count, 40)
    with drawing(path, size + 2, size, force=force) as (figure, axes):
        axes.set_facecolor(DIAGONAL)
        shown = np.ma.masked_array(scores, np.eye(count, dtype=bool) if count > 1 else False)
        low, high = float(shown.min()), float(shown.max())
        image = axes.imshow(shown, cmap=HEATMAP)
        figure.colorbar(image, label="similarity")
        if count <= _LABELED:
            names = [_shortened(text) for text in texts]
            axes.set_xticks(range(count), names, rotation=45, ha="right")
            axes.set_yticks(range(count), names)
            for row, line in enumerate(scores):
                for column, score in enumerate(line):
                    dark = row != column and (score - low) < _DARK * (high - low)
                    color = INK_ON_DARK if dark else INK
                    axes.text(column, row, f"{score:.2f}", ha="center", va="center", color=color, fontsize=8)


def _shortened(label: str) -> str:
    label = label if len(label) <= _LABEL_LENGTH else label[: _LABEL_LENGTH - 1] + "…"
    # A dollar sign would start mathematical notation.
    return label.replace("$", r"\$") if label.strip() else "(empty)"


def plot_curve(curve: Sequence[Point], path: str | Path, *, force: bool = False) -> None:
    """Draw the loss of a training and the score on its development pairs, if there is one, by step."""
    with drawing(path, force=force) as (_, axes):
        losses = [(point.step, point.loss) for point in curve if point.loss is not None]
        scores = [(point.step, point.score) for point in curve if point.score is not None]
        if not losses:
            raise TrainingError("the curve has no point yet; let the training log once, or set log_steps lower")
        from matplotlib.ticker import MaxNLocator

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


def _title(scores: Sequence[tuple[int, float]]) -> str:
    """Say the best score of the training, and that of the base, which is step 0."""
    before = next((f"before: {score:.2f}" for step, score in scores if step == 0), "")
    trained = ((score, -step) for step, score in scores if step > 0)
    best, step = max(trained, default=(0.0, 0))
    return "; ".join(filter(None, (f"best: {best:.2f} at step {-step}" if step else "", before)))
