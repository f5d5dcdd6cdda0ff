"""Define the colors of the package's pictures, and write each picture whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from prompteol.errors import CorpusError
from prompteol.extras import check_extra
from prompteol.files.atomic import atomic_write, refuse_overwrite

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURES = (".png", ".jpg", ".svg", ".pdf")
_DOTS_PER_INCH = 200

# Okabe and Ito's colors, which readers with any color vision tell apart: one a model or a method.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999", "#F0E442")
# What a picture is about, what it is compared with, and all else.
BEST, BASELINE, OTHERS = COLORS[0], COLORS[5], COLORS[6]
# The curve of a training.
LOSS, SCORE = COLORS[0], COLORS[5]
# A heatmap: matplotlib's name of its colors, from low to high, and the cells of a text with itself.
HEATMAP, DIAGONAL = "viridis", "#D9D9D9"
# Text and axes.
INK, INK_ON_DARK = "#333333", "#FFFFFF"
BACKGROUND, SHADE, FAINT, SPINE = "#FFFFFF", "#F4F4F4", "#E4E4E4", "#BBBBBB"


def check_picture(path: Path | None, *, force: bool = False) -> None:
    """Refuse a path, if there is one, to which no picture could be written, and any without matplotlib."""
    if path is None:
        return
    if path.suffix.lower() not in PICTURES:
        raise CorpusError(f"picture {str(path)!r}: expected a name that ends in {', '.join(PICTURES)}")
    check_extra("plot", "matplotlib")
    refuse_overwrite(path, force=force)


def canvas(width: float = 7.0, height: float = 4.2) -> tuple[Figure, Any]:
    """Return a figure and its axes, in inches; not pyplot's, which are global and may ask for a window system."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def save_picture(figure: Figure, path: Path, *, force: bool = True) -> None:
    """Write a figure to a file, whose suffix names the format; see :func:`atomic_write` for ``force``."""
    with atomic_write(path, force=force) as partial:
        figure.savefig(partial, format=path.suffix.lstrip(".").lower(), dpi=_DOTS_PER_INCH)
