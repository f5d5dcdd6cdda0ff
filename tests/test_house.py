"""Hold the structure of the package: the direction of imports, the size of files, names, public API only."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import prompteol

SOURCE = Path(prompteol.__file__).parent
REPOSITORY = Path(__file__).parent.parent
# From the innermost to the outermost; each may import what stands before it.
ROOMS = (
    "errors",
    "extras",
    "validation",
    "vectors",
    "compat",
    "hub",
    "locks",
    "progress",
    "files",
    "prompts",
    "tokenization",
    "inference",
    "acceleration",
    "model",
    "saving",
    "techniques",
    "loading",
    "sentence_transformers",
    "testing",
    "embedder",
    "data",
    "demonstrations",
    "tuning",
    "training",
    "evaluation",
    "benchmark",
    "plots",
    "corpus",
    "ray",
    "serving",
    "demo",
    "cli",
    "__main__",
)
FILES = sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")
ADAPTERS = sorted(
    path.relative_to(REPOSITORY)
    for path in (REPOSITORY / "integrations").rglob("*.py")
    if "tests" not in path.parts and not any(part.startswith(".") for part in path.parts)
)
# Names of ours that start with an underscore may be read on `self`, `cls` and `type(self)`.
_OWN = {"self", "cls", "super"}
_PRIVATE = re.compile(r"_[a-z]\w*")
# Documented in spite of the underscore: of named tuples, and of os.
_PUBLIC = {"_asdict", "_exit", "_replace"}


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def room(module: str) -> str:
    """Return the room of a dotted name below ``prompteol``; of a name that the package exports, its home's."""
    first = module.split(".")[0]
    home = prompteol._EXPORTS.get(first)
    return home.split(".")[1] if home else first


def imported_rooms(path: Path) -> Iterator[str]:
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.ImportFrom) and node.module == "prompteol":
            yield from (room(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("prompteol."):
            yield room(str(node.module).removeprefix("prompteol."))
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("prompteol."):
                    yield room(alias.name.removeprefix("prompteol."))


@pytest.mark.parametrize("path", FILES, ids=str)
def test_inner_rooms_never_import_outer_ones(path):
    outer = ROOMS[ROOMS.index(path.parts[0].removesuffix(".py")) + 1 :]
    assert not set(imported_rooms(SOURCE / path)) & set(outer)


def test_every_room_has_its_place_and_a_folder_of_tests():
    assert {path.parts[0].removesuffix(".py") for path in FILES} == set(ROOMS)
    folders = {path.parts[0] for path in FILES if len(path.parts) > 1}
    assert not {name for name in folders if not (REPOSITORY / "tests" / name).is_dir()}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_file_says_its_idea_and_stays_small(path):
    source = (SOURCE / path).read_text(encoding="utf-8")
    first = (ast.get_docstring(ast.parse(source)) or "").split("\n")[0]
    assert re.match(r"[A-Z`].*\.$", first), "the first line is one sentence that says what the file does"
    assert len(source.splitlines()) <= 300
    assert path.stem not in {"utils", "util", "helpers", "common", "misc"}


def test_no_two_classes_have_one_name():
    homes = defaultdict(list)
    for path in FILES:
        for node in parse(SOURCE / path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(str(path))
    assert not {name: places for name, places in homes.items() if len(places) > 1}


def private_names(tree: ast.Module) -> Iterator[str]:
    """Yield private names that are read on an object which is not our own, or imported from elsewhere."""
    own = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in _OWN
    }
    own |= {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))} | _PUBLIC
    own |= {
        node.target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _PRIVATE.fullmatch(node.attr) and node.attr not in own:
            yield f"line {node.lineno}: .{node.attr}"
        elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("prompteol"):
            parts = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            yield from (f"line {node.lineno}: {part}" for part in parts if _PRIVATE.fullmatch(part))


@pytest.mark.parametrize("path", [path for path in FILES if path.parts[0] not in ("compat", "compat.py")], ids=str)
def test_nothing_uses_a_private_name_of_a_dependency(path):
    assert not list(private_names(parse(SOURCE / path)))


@pytest.mark.parametrize("path", ADAPTERS, ids=str)
def test_adapters_use_public_api_alone(path):
    tree = parse(REPOSITORY / path)
    assert not list(private_names(tree))
    assert not [
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name.split(".")[0] == "prompteol"
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "prompteol":
            assert node.module in {"prompteol", "prompteol.embedder", "prompteol.errors"}
            assert {alias.name for alias in node.names} <= set(import_module(node.module).__all__)


def test_both_adapters_are_looked_at():
    assert {path.parts[1] for path in ADAPTERS} == {"langchain-prompteol", "llama-index-embeddings-prompteol"}


def test_exports_are_the_table():
    assert sorted(prompteol.__all__) == sorted([*prompteol._EXPORTS, "errors"])
    for name in prompteol.__all__:
        assert getattr(prompteol, name) is not None
    assert set(prompteol.__all__) <= set(dir(prompteol))
    with pytest.raises(AttributeError, match="nothing_here"):
        prompteol.nothing_here  # noqa: B018
