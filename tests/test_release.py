"""One version for the three distributions, and a page on compatibility that says what is tested."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import numpy as np
import pytest
import yaml
from packaging.requirements import Requirement
from sentence_transformers import SentenceTransformer

from prompteol import PromptEOL
from test_requirements import PROJECTS, project

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
SAVED_BY = sorted((ROOT / "tests" / "saved_by").iterdir())


def workflow(name: str) -> dict:
    return yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text(encoding="utf-8"))["jobs"]


def cells(job: dict) -> dict[tuple[str, str], str]:
    """The environments of a job's matrix, and what is run there."""
    matrix = job["strategy"]["matrix"]
    found = {(system, python): "" for system in matrix.get("os", ()) for python in matrix.get("python", ())}
    return found | {
        (one.get("os", job["runs-on"]), one["python"]): one.get("tests", "") for one in matrix.get("include", ())
    }


def table(heading: str) -> list[list[str]]:
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in (lines[0], *lines[2:])]


def test_the_three_distributions_have_one_version_and_need_it():
    assert len({project(folder)["version"] for folder in PROJECTS}) == 1
    major, minor, _ = project(".")["version"].split(".")
    for folder in set(PROJECTS) - {"."}:
        [core] = [one for one in map(Requirement, project(folder)["dependencies"]) if one.name == "prompteol"]
        assert str(core.specifier) == f"<{major}.{int(minor) + 1},>={major}.{minor}"


def test_a_release_refuses_another_tag(tmp_path):
    build = runpy.run_path(str(ROOT / "scripts" / "release"))["build"]
    with pytest.raises(SystemExit, match=r"the tag is v99\.0\.0, and the version"):
        build(tmp_path, "v99.0.0")


def test_the_page_says_where_it_is_tested():
    header, *rows = table("Python and systems")
    pythons = [cell.removeprefix("Python ") for cell in header[1:]]
    said = {
        (re.findall(r"`(.+)`", row[0])[0], python): set(cell.split(", ")) - {""}
        for row in rows
        for python, cell in zip(pythons, row[1:], strict=True)
    }
    tests = workflow("test.yml")
    expected: dict[tuple[str, str], set[str]] = {place: set() for place in said}
    for place, kind in cells(tests["lock"]).items():
        expected[place].add(f"{kind or 'all'} tests")
    for place in cells(workflow("release.yml")["try"]):
        expected[place].add("wheels")
    bounds = tests["bounds"]
    for one in bounds["strategy"]["matrix"]["include"]:
        expected[bounds["runs-on"], one["python"]].add(f"{one['tests'].split('--')[1]} versions")
    assert said == expected
    assert min(pythons, key=lambda one: int(one.split(".")[1])) == project(".")["requires-python"].removeprefix(">=")


def test_the_page_says_which_packages_fit():
    about = project(".")
    required = [*about["dependencies"], *about["optional-dependencies"]["adapters"]]
    bounds: dict[str, dict[str, str]] = {}
    for one in map(Requirement, required):
        bounds.setdefault(one.name, {}).update({part.operator: part.version for part in one.specifier})
    pins = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if re.match(r"[\w.-]+==", line) and Requirement(line).marker is not None:
            pin = Requirement(line)
            if pin.marker.evaluate({"python_full_version": "3.11.0", "python_version": "3.11"}):
                pins[pin.name] = next(iter(pin.specifier)).version
        elif re.match(r"[\w.-]+==", line):
            pins[Requirement(line).name] = next(iter(Requirement(line).specifier)).version
    _, *rows = table("Packages")
    said = {re.findall(r"`([\w-]+)`", name)[0]: tuple(cells) for name, *cells in rows}
    core = [one.name for one in map(Requirement, about["dependencies"])]
    ceilings = {one.name: one.specifier for one in map(Requirement, about["dependencies"])}
    below = {name: "".join(part.version for part in ceilings[name] if part.operator == "<") for name in core}
    expected = {name: (bounds[name][">="], below.get(name, ""), pins[name]) for name in (*core, "peft")}
    assert said == expected
    ceiling = re.search(r"With the extra `adapters`, `transformers` is below ([\d.]+)\.", PAGE)
    assert ceiling
    assert ceiling[1] == bounds["transformers"]["<"]


def test_only_the_job_that_publishes_may_and_only_from_its_environment():
    jobs = workflow("release.yml")
    assert [name for name, job in jobs.items() if job.get("permissions")] == ["publish"]
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert jobs["publish"]["environment"]["name"] == "pypi"
    assert "tag" in jobs["publish"]["if"]
    assert all(re.search(r"@[0-9a-f]{40}$", step["uses"]) for step in jobs["publish"]["steps"])


def test_there_is_a_folder_of_this_version():
    assert project(".")["version"] in [folder.name for folder in SAVED_BY]


@pytest.mark.parametrize("folder", SAVED_BY, ids=lambda folder: folder.name)
def test_what_a_release_saved_gives_its_vectors(folder):
    assert sum(file.stat().st_size for file in folder.rglob("*")) < 200_000
    expected = json.loads((folder / "vectors.json").read_text(encoding="utf-8"))
    vectors = np.array(list(expected.values()))
    model = PromptEOL(folder / "model", device="cpu")
    stock = SentenceTransformer(str(folder / "model"), device="cpu", model_kwargs={"dtype": "float32"})
    for loaded in (model, stock):
        assert np.abs(loaded.encode(list(expected)) - vectors).max() < 1e-5 * np.abs(vectors).max()
    assert model.fingerprint() == json.loads((folder / "model" / "prompteol.json").read_text())["fingerprint"]
