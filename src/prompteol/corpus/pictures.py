"""Pictures: what could not be written is known before any work, and a file is there whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from prompteol.corpus.atomic import refuse_overwrite, replace_when_done
from prompteol.errors import CorpusError
from prompteol.extras import check_extra

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["check_picture", "save_picture"]

_DOTS_PER_INCH = 200


def check_picture(path: Path, *, force: bool = False) -> None:
    """Raise where no picture could be written to ``path``.

    Raises:
        MissingExtraError: matplotlib is not installed.
        CorpusError: the file exists, or its suffix names no kind of picture.
    """
    check_extra("plot", "matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    refuse_overwrite(path, force=force)
    known = FigureCanvasAgg(Figure()).get_supported_filetypes()
    if path.suffix.lstrip(".").lower() not in known:
        raise CorpusError(f"picture {str(path)!r}: expected a name that ends in .{', .'.join(sorted(known))}")


def save_picture(figure: Figure, path: Path) -> None:
    """Write a figure to a file, whose suffix names the format."""
    with replace_when_done(path) as partial:
        figure.savefig(partial, format=path.suffix.lstrip(".").lower(), dpi=_DOTS_PER_INCH)
