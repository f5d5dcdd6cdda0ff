"""Adapters are what anybody else could write: they use public names alone."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PUBLIC = {
    "prompteol",
    "prompteol.embedder",
    "prompteol.errors",
    "prompteol.embedder.index_safety",
    "prompteol.embedder.long_texts",
}
ADAPTERS = sorted(path for path in ROOT.glob("integrations/*/*/**/*.py") if "tests" not in path.parts)


@pytest.mark.parametrize("path", ADAPTERS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_an_adapter_imports_public_names_alone(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith("prompteol") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "prompteol":
            assert node.module in PUBLIC
            assert {alias.name for alias in node.names} <= set(import_module(node.module).__all__)


def test_both_adapters_are_looked_at():
    assert {path.parts[len(ROOT.parts) + 1] for path in ADAPTERS} == {
        "langchain-prompteol",
        "llama-index-embeddings-prompteol",
    }
