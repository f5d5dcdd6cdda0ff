"""The code blocks of the documentation, and which of them cannot run here."""

from __future__ import annotations

import ast
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

PAGES = sorted({ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("integrations/*/README.md")})

# The word behind the language of a fence, as in ```bash gpu, says why a block does not run; the site hides it.
NOT_RUN = {
    "data": "needs data sets that do not ship with the project",
    "download": "fetches a model or data from the network",
    "gpu": "needs GPUs, or several machines",
    "install": "changes an environment, or tests a whole clone",
    "minutes": "takes minutes of a processor",
    "server": "needs a server that runs",
}

_FENCE = re.compile(
    r"^```(?P<language>python|bash|sh|console)(?: (?P<reason>[^\n]*))?\n(?P<source>.*?)^```$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """One block of Python or of shell commands."""

    language: str
    source: str
    reason: str | None
    line: int


def page_blocks(text: str) -> list[Block]:
    """Return the blocks of Python and of the shell, in order; of a session, what stands behind its prompts."""
    found = []
    for fence in _FENCE.finditer(text):
        language, source = fence["language"], fence["source"]
        if language != "python":
            language, source = "bash", re.sub(r"^\$ ", "", source, flags=re.M)
        found.append(Block(language, source, fence["reason"], text[: fence.start()].count("\n") + 1))
    return found


def blocks(text: str) -> list[str]:
    """Return the Python blocks of a page that run here."""
    return [block.source for block in page_blocks(text) if block.language == "python" and block.reason is None]


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
