"""The code blocks of the documentation, and which of them cannot run here."""

from __future__ import annotations

import ast
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).resolve().parents[1]

# What people read of the repository: the pages of the site, and what stands beside the code.
PAGES = sorted(
    {
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md")),
        ROOT / "src/prompteol/nano/README.md",
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("integrations/*/README.md"),
    }
)

# The word behind the language of a fence, as in ```bash gpu, says why a block does not run; the site hides it.
NOT_RUN = {
    "data": "needs data sets that do not ship with the project",
    "download": "fetches a model or data from the network",
    "gpu": "needs GPUs, or several machines",
    "install": "changes an environment, or tests a whole clone",
    "minutes": "takes minutes of a processor",
    "server": "needs a server that runs",
}

# Languages of blocks that run. Another name for one of them would slip through; of other languages these are known.
RUN, SHOWN = ("python", "bash", "sh", "console"), ("json", "mermaid", "text", "toml")
# Also within a list, a tab or an admonition.
_FENCE = re.compile(
    r"^(?P<indent> *)(?P<marks>```+|~~~+) *(?P<language>[^\s`]*)(?: (?P<reason>[^\n]*))?\n"
    r"(?P<source>.*?)^(?P=indent)(?P=marks)$",
    re.M | re.S,
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
        language, source = fence["language"], dedent(fence["source"])
        line = text[: fence.start()].count("\n") + 1
        assert language in RUN + SHOWN, f"line {line}: {language!r} is none of {', '.join(RUN + SHOWN)}"
        if language in SHOWN:
            continue
        if language != "python":
            language, source = "bash", re.sub(r"^\$ ", "", source, flags=re.M)
        found.append(Block(language, source, fence["reason"], line))
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
