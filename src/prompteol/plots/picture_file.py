"""Pictures: what could not be written is known before any work, and a file is there whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from prompteol.errors import CorpusError
from prompteol.extras import check_extra
from prompteol.files.atomic import atomic_write, refuse_overwrite

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PICTURES", "check_picture", "save_picture"]

PICTURES = (".png", ".jpg", ".svg", ".pdf")
_DOTS_PER_INCH = 200


def check_picture(path: Path, *, force: bool = False) -> None:
    """Raise where no picture could be written to ``path``.

    Raises:
        MissingExtraError: matplotlib is not installed.
        CorpusError: the file exists, or its suffix is none of ``PICTURES``.
    """
    if path.suffix.lower() not in PICTURES:
        raise CorpusError(f"picture {str(path)!r}: expected a name that ends in {', '.join(PICTURES)}")
    check_extra("plot", "matplotlib")
    refuse_overwrite(path, force=force)


def save_picture(figure: Figure, path: Path, *, force: bool = True) -> None:
    """Write a figure to a file, whose suffix names the format; see :func:`atomic_write` for ``force``."""
    with atomic_write(path, force=force) as partial:
        figure.savefig(partial, format=path.suffix.lstrip(".").lower(), dpi=_DOTS_PER_INCH)
