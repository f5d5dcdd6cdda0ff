"""The house has one direction: inner rooms never import outer ones, and no file is a cupboard."""

import ast
from pathlib import Path

import pytest

import prompteol

SOURCE = Path(prompteol.__file__).parent
# From the innermost to the outermost; each may import what stands before it.
ROOMS = (
    "errors",
    "checks",
    "prompts",
    "tokens",
    "inference",
    "backbone",
    "module",
    "artefact",
    "loading",
    "sentence_transformers",
    "testing",
    "long_texts",
    "index_safety",
    "embedder",
    "corpus",
    "demonstrations",
    "evaluation",
    "benchmark",
    "search",
    "training",
    "corpora",
    "ray",
    "cli",
    "__main__",
)
FILES = sorted(
    path.relative_to(SOURCE) for path in SOURCE.rglob("*.py") if path.name != "__init__.py" or path.parent != SOURCE
)


def room(path: Path) -> str:
    return path.parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse((SOURCE / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("prompteol."):
            modules.add(node.module)
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names if alias.name.startswith("prompteol.")}
    return {module.split(".")[1] for module in modules}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_inner_rooms_never_import_outer_ones(path):
    outer = set(ROOMS[ROOMS.index(room(path)) + 1 :])
    assert not imported_rooms(path) & outer


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_file_says_its_idea_and_stays_small(path):
    source = (SOURCE / path).read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(source)), "the first line says what the file holds"
    assert len(source.splitlines()) <= 300
    assert path.stem not in {"utils", "util", "helpers", "common", "misc"}


def test_every_public_name_is_there():
    for name in prompteol.__all__:
        assert getattr(prompteol, name) is not None
    assert set(prompteol.__all__) <= set(dir(prompteol))
    with pytest.raises(AttributeError, match="nothing_here"):
        prompteol.nothing_here  # noqa: B018
