"""The three distributions: their wheels build, hold what they should, and import side by side."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

pytest.importorskip("build")
pytest.importorskip("hatchling")

ROOT = Path(__file__).resolve().parents[2]
PROJECTS = {
    "prompteol": ROOT,
    "langchain_prompteol": ROOT / "integrations" / "langchain-prompteol",
    "llama_index_embeddings_prompteol": ROOT / "integrations" / "llama-index-embeddings-prompteol",
}


def run(*command: str | Path, **environment: str) -> str:
    return subprocess.run(
        [sys.executable, *map(str, command)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("wheels")
    for project in PROJECTS.values():
        run("-m", "build", "--wheel", "--no-isolation", "--outdir", folder, project)
    return {wheel.name.partition("-")[0]: wheel for wheel in folder.glob("*.whl")}


def files(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def metadata(wheel: Path) -> dict[str, list[str]]:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        message = Parser().parsestr(archive.read(name).decode())
    return {key: message.get_all(key) or [] for key in ("Requires-Dist", "Version")}


def test_one_wheel_each(wheels):
    assert set(wheels) == set(PROJECTS)


def test_the_core_holds_every_file_of_its_source(wheels):
    source = ROOT / "src"
    ours = {str(path.relative_to(source)) for path in (source / "prompteol").rglob("*.*") if path.is_file()}
    assert files(wheels["prompteol"]) == {name for name in ours if not name.endswith(".pyc")}
    assert "prompteol/saving/export/page/index.html" in ours


def test_the_adapters_hold_their_package_and_nothing_above_it(wheels):
    assert files(wheels["langchain_prompteol"]) == {
        f"langchain_prompteol/{name}" for name in ("__init__.py", "embeddings.py", "py.typed", "sparse.py")
    }
    # An __init__.py in llama_index/ or llama_index/embeddings/ would hide every other package of LlamaIndex.
    assert files(wheels["llama_index_embeddings_prompteol"]) == {
        f"llama_index/embeddings/prompteol/{name}"
        for name in ("__init__.py", "base.py", "cache.py", "py.typed", "sparse.py")
    }


def test_the_core_knows_no_framework_and_the_adapters_pin_the_core_to_their_minor_version(wheels):
    required = {name: metadata(wheel)["Requires-Dist"] for name, wheel in wheels.items()}
    always = [line for line in required["prompteol"] if "extra ==" not in line]
    assert not [line for line in always if "langchain" in line or "llama" in line]
    assert "langchain-prompteol; extra == 'langchain'" in required["prompteol"]
    assert "llama-index-embeddings-prompteol; extra == 'llama-index'" in required["prompteol"]
    [version] = metadata(wheels["prompteol"])["Version"]
    major, minor, _ = version.split(".")
    for name in ("langchain_prompteol", "llama_index_embeddings_prompteol"):
        assert metadata(wheels[name])["Version"] == [version]
        assert f"prompteol<{major}.{int(minor) + 1},>={major}.{minor}" in required[name]


def test_they_import_side_by_side(wheels, tmp_path):
    pytest.importorskip("langchain_core")
    pytest.importorskip("llama_index.core")
    for wheel in wheels.values():
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(tmp_path)
    found = run(
        "-c",
        "import prompteol, langchain_prompteol, llama_index.core, llama_index.embeddings.prompteol as li\n"
        "print(prompteol.TextEmbedder, langchain_prompteol.PromptEOLEmbeddings, li.PromptEOLEmbedding, sep='\\n')\n"
        "print(prompteol.__file__, langchain_prompteol.__file__, li.__file__, sep='\\n')",
        PYTHONPATH=str(tmp_path),
    )
    assert found.count(str(tmp_path)) == 3
    assert "class 'langchain_prompteol.embeddings.PromptEOLEmbeddings'" in found
