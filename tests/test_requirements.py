"""What the package imports is what its pyproject.toml declares."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
# Imported by another name than the distribution's.
DISTRIBUTIONS = {"sklearn": "scikit-learn", "yaml": "pyyaml", "faiss": "faiss-cpu", "llama_index": "llama-index-core"}
PROJECTS = {
    ".": "src/prompteol",
    "integrations/langchain-prompteol": "langchain_prompteol",
    "integrations/llama-index-embeddings-prompteol": "llama_index/embeddings/prompteol",
}


def imported(source: Path) -> set[str]:
    found = set()
    for path in source.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.add(node.module.split(".")[0])
    return {DISTRIBUTIONS.get(name, canonicalize_name(name)) for name in found - sys.stdlib_module_names}


def project(folder: str) -> dict:
    return tomllib.loads((ROOT / folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def requirements(folder: str, *, tests: bool = True) -> list[Requirement]:
    """Of a project and its extras, but for its own distributions."""
    about = project(folder)
    extras = about.get("optional-dependencies", {})
    lines = [*about["dependencies"], *(one for name in extras if tests or "test" not in name for one in extras[name])]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize("folder", PROJECTS)
def test_what_is_imported_is_declared(folder):
    declared = {canonicalize_name(one.name) for one in requirements(folder, tests=False)}
    found = imported(ROOT / folder / PROJECTS[folder])

    assert found - declared - {project(folder)["name"]} == set()


@pytest.mark.parametrize("folder", PROJECTS)
def test_each_requirement_has_a_bound(folder):
    assert [str(one) for one in requirements(folder) if not one.specifier and "prompteol" not in one.name] == []


def test_constraints_pin_every_direct_requirement():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {Requirement(line).name for line in lines if not line.startswith("#")}
    required = {canonicalize_name(one.name) for folder in PROJECTS for one in requirements(folder)}

    # bitsandbytes is for CUDA alone, Ray for clusters: no test environment installs them.
    assert {name for name in required - pinned if "prompteol" not in name} == {"bitsandbytes", "ray"}


def test_constraints_name_no_index_and_no_path():
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")

    assert "://" not in text
    assert [part for part in ("--", " @ ", "+cpu", "-e ") if part in text] == []


def test_the_page_on_installing_lists_every_extra():
    extras = {name for name in project(".")["optional-dependencies"] if not name.startswith("test")}
    said = (ROOT / "docs" / "how-to" / "install.md").read_text(encoding="utf-8")
    listed = said[said.index("## Extras\n") : said.index("## Without a network\n")]
    assert {name for name in extras if f"`{name}`" not in listed} == set()
