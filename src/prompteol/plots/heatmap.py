"""Draw a similarity matrix as a heatmap."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prompteol.plots.picture import DIAGONAL, HEATMAP, INK, INK_ON_DARK, canvas, check_picture, save_picture

# With more texts, numbers in the cells and labels at the axes overlap.
_LABELED = 20
_LABEL_LENGTH = 40
# The share of the scale below which cells are dark.
_DARK = 0.6


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
    path = Path(path)
    check_picture(path, force=force)
    import numpy as np

    count = len(texts)
    size = 3 + 0.4 * min(count, 40)
    figure, axes = canvas(size + 2, size)
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
    save_picture(figure, path, force=force)


def _shortened(label: str) -> str:
    label = label if len(label) <= _LABEL_LENGTH else label[: _LABEL_LENGTH - 1] + "…"
    # A dollar sign would start mathematical notation.
    return label.replace("$", r"\$") if label.strip() else "(empty)"
