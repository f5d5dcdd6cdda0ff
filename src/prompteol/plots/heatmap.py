"""A similarity matrix as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prompteol.plots.picture_file import save_picture

__all__ = ["draw_heatmap"]

# Beyond this, numbers in the cells and labels at the axes overlap.
_LABELLED = 20
_LABEL_LENGTH = 40
_DIAGONAL = "0.85"
# Below this share of the scale, numbers are white.
_DARK = 0.6


def draw_heatmap(path: Path, labels: Sequence[str], scores: Sequence[Sequence[float]], *, force: bool = False) -> None:
    """Draw similarities (texts x texts) to an image file, whose suffix names the format.

    The colors are spread over the similarities of different texts: on the diagonal all are 1, and would take most of
    the scale.
    """
    import numpy as np
    from matplotlib.figure import Figure

    count = len(labels)
    size = 3 + 0.4 * min(count, 40)
    figure = Figure(figsize=(size + 2, size), layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor(_DIAGONAL)
    shown = np.ma.masked_array(scores, np.eye(count, dtype=bool) if count > 1 else False)
    low, high = float(shown.min()), float(shown.max())
    image = axes.imshow(shown, cmap="viridis")
    figure.colorbar(image, label="similarity")
    if count <= _LABELLED:
        names = [_shortened(label) for label in labels]
        axes.set_xticks(range(count), names, rotation=45, ha="right")
        axes.set_yticks(range(count), names)
        for row, line in enumerate(scores):
            for column, score in enumerate(line):
                dark = row != column and (score - low) < _DARK * (high - low)
                color = "white" if dark else "black"
                axes.text(column, row, f"{score:.2f}", ha="center", va="center", color=color, fontsize=8)
    save_picture(figure, path, force=force)


def _shortened(label: str) -> str:
    label = label if len(label) <= _LABEL_LENGTH else label[: _LABEL_LENGTH - 1] + "…"
    # A dollar sign would start mathematical notation.
    return label.replace("$", r"\$") if label.strip() else "(empty)"
