"""Texts that are typed on the command line, rather than read from a file."""

from __future__ import annotations

import os
from collections.abc import Sequence

from prompteol.cli import console
from prompteol.files import TextSource

__all__ = ["typed_texts"]


def typed_texts(arguments: Sequence[str]) -> list[str]:
    """Take arguments as texts, a lone ``-`` as the lines of standard input; warn of one that names a file."""
    if list(arguments) == ["-"]:
        return list(TextSource.open("-").texts())
    for argument in arguments:
        # Not Path.is_file(), which raises where a text is too long to be a name.
        if os.path.isfile(argument):
            console.warning(f"{argument!r} is embedded as a text; the file of that name is not read")
    return list(arguments)
