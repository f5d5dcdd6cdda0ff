"""The set that ships with the package: sentences and definitions of our own, with the word each one means."""

from __future__ import annotations

from importlib.resources import as_file, files

from prompteol.demonstrations.files import read_demonstrations
from prompteol.prompts import Demonstration

__all__ = ["default_demonstrations"]


def default_demonstrations() -> list[Demonstration]:
    """Return 124 demonstrations: actions, animals, things, places, feelings, news, and definitions.

    Written for this package and free to use under its license. No sentence of STS12 to STS16, STS-B dev and test, or
    SICK is among them.
    """
    with as_file(files("prompteol.demonstrations") / "default.jsonl") as path:
        return read_demonstrations(path)
