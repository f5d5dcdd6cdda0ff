"""The examples of the documentation, and which of them can run here."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def blocks(text: str, info: str = "python") -> list[str]:
    """The blocks of a page whose opening fence matches; a block that needs a download is ``python download``."""
    return re.findall(rf"^```{info}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def imported(source: str) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    return names


def skip_unless_installed(source: str) -> None:
    for name in imported(source):
        if not is_installed(name):
            pytest.skip(f"{name} is not installed")


def is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the package it would lie in
        return False
