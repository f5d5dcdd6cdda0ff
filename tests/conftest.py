"""Tiny models for every test, one torch thread and no network."""

import ast
import os
import sys

from hub_server import HUB, TOKEN

# The Hub of every test is one in this process, and only a test that asks for it goes online.
os.environ["HF_ENDPOINT"] = HUB.url
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from hypothesis import HealthCheck, settings

from prompteol.evaluation.tasks import TASKS
from prompteol.prompts import presets
from prompteol.techniques import registry
from prompteol.testing import tiny_model

# What scripts/test core does not install.
OPTIONAL = {
    *("bertopic", "chromadb", "faiss", "haystack", "keybert", "lancedb", "mteb", "peft", "qdrant_client", "txtai"),
    *("langchain_chroma", "langchain_core", "langchain_qdrant", "langchain_text_splitters", "llama_index"),
}
ARCHITECTURES = ("llama", "opt", "gpt2", "qwen2")

_calm = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]}
settings.register_profile("prompteol", max_examples=int(os.environ.get("PROMPTEOL_TEST_EXAMPLES", "100")), **_calm)
settings.load_profile("prompteol")

torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--whole-scifact",
        action="store_true",
        help="tests/rag: all of SciFact, uncut, by the model that ships with the package; minutes. Wants also "
        "-W ignore::prompteol.embedder.LongTextWarning",
    )


def _absent(module: str) -> bool:
    """Whether a package is not installed, whatever a test has put in its place; of a namespace, the part named."""
    parts = accumulate(module.split("."), "{}/{}".format)
    files = (file for part in parts for file in (f"{part}/__init__.py", f"{part}.py"))
    return not any(Path(place, file).is_file() for file in files for place in sys.path)


def _skip(module: str) -> None:
    pytest.skip(f"needs {module.split('.')[0]}, which is not installed: bash scripts/test, without core")


class _WithoutPackage(pytest.Module):
    """A file of tests that imports a package which is not installed."""

    package = ""

    def collect(self):
        _skip(self.package)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    for node in ast.parse(module_path.read_text(encoding="utf-8")).body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else names
        for name in names:
            if name.split(".")[0] in OPTIONAL and _absent(name):
                module = _WithoutPackage.from_parent(parent, path=module_path)
                module.package = name
                return module
    return None


@contextmanager
def _skipping() -> Iterator[None]:
    """Skip what fails for want of a package that only some tests need, and say which."""
    try:
        yield
    except ImportError as error:
        if error.name and error.name.split(".")[0] in OPTIONAL and _absent(error.name):
            _skip(error.name)
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup():
    with _skipping():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call():
    with _skipping():
        return (yield)


def shared_data() -> Path | None:
    """The folder of real data that does not ship with the project."""
    here = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("PROMPTEOL_DATA", here.parent / "shared" / "data"))
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def data() -> Path:
    folder = shared_data()
    if folder is None:
        pytest.skip("needs the real data: set PROMPTEOL_DATA to a folder that holds it")
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Folder of a tiny base model of an architecture, made once."""
    made = {}

    def folder(architecture: str = "llama", **options) -> str:
        key = (architecture, *sorted(options.items()))
        if key not in made:
            made[key] = tiny_model(tmp_path_factory.mktemp(architecture), architecture, **options)
        return made[key]

    return folder


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A Hub without repositories, spoken to by the real client with its owner's token, without Xet; an empty cache."""
    assert HUB.url == constants.ENDPOINT, "huggingface_hub was imported before this file"
    HUB.reset()
    if not HUB.servers:
        HUB.start()
    for name, value in {
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_CACHE": str(tmp_path / "hub-cache"),
        "HF_TOKEN_PATH": str(tmp_path / "no-token"),
    }.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(tmp_path / "hub-cache"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")  # which peft reads itself
    return HUB


@pytest.fixture(params=ARCHITECTURES)
def architecture(request) -> str:
    return request.param


@pytest.fixture
def own_registry() -> Iterator[None]:
    """Forget what a test registers."""
    tables: tuple[dict, ...] = (registry._techniques, TASKS, presets._templates)
    before = [dict(table) for table in tables]
    yield
    for table, entries in zip(tables, before, strict=True):
        table.clear()
        table.update(entries)
