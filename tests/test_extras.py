"""Packages of versions that exclude each other are found before anything is loaded or written."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from prompteol import PromptEOL
from prompteol.errors import IncompatibleVersionError, MissingExtraError
from prompteol.extras import check_extra

# What prompteol's own metadata says in these tests, whatever is installed.
OWN = """\
Requires-Dist: transformers>=5.5
Provides-Extra: adapters
Requires-Dist: peft>=0.21; extra == "adapters"
Requires-Dist: transformers<5.24; extra == "adapters"
Provides-Extra: training
Requires-Dist: prompteol[adapters]; extra == "training"
Requires-Dist: accelerate>=1.3; extra == "training"
Requires-Dist: datasets>=3.2; extra == "training"
Provides-Extra: parquet
Requires-Dist: pyarrow>=18; extra == "parquet"
Provides-Extra: onnx
Requires-Dist: onnx-ir>=0.1.12; extra == "onnx"
Provides-Extra: plot
Requires-Dist: matplotlib>=3.9; extra == "plot"
Provides-Extra: evaluation
Requires-Dist: datasets>=3; extra == "evaluation"
Provides-Extra: quantization
Requires-Dist: bitsandbytes>=0.46.1; extra == "quantization"
"""
PAIR = (
    "transformers 5.24.0 needs peft>=0.22.0, and peft 0.21.2 is installed; what fits is transformers<5.24: "
    'pip install "transformers<5.24"'
)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put distributions of given versions before those that are installed, with metadata and an empty package."""
    site = tmp_path / "site-packages"

    def fake(name: str, version: str, metadata: str = "") -> Path:
        info = site / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        info.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}")
        if name != "prompteol":
            site.joinpath(name).mkdir()
            site.joinpath(name, "__init__.py").write_text(
                "raise AssertionError('loaded before its version was checked')"
            )
        return site / name

    def fake_transformers(version: str, *demands: str) -> None:
        table = {demand.split(">")[0]: demand for demand in demands}
        fake("transformers", version).joinpath("dependency_versions_table.py").write_text(f"deps = {table!r}\n")

    fake("prompteol", "0.1.0", OWN)
    monkeypatch.syspath_prepend(str(site))
    fake.transformers = fake_transformers
    return fake


@pytest.fixture
def newest_pair(install):
    install.transformers("5.24.0", "peft>=0.22.0", "accelerate>=1.1.0")
    install("peft", "0.21.2", "Requires-Dist: transformers\n")


def told(extra: str, *packages: str) -> str:
    with pytest.raises(IncompatibleVersionError) as caught:
        check_extra(extra, *packages)
    return str(caught.value)


def test_transformers_that_refuses_the_installed_peft(newest_pair):
    assert told("adapters", "peft") == told("training", "peft") == PAIR


def test_a_later_peft_that_transformers_takes_is_taken(install):
    install.transformers("5.24.0", "peft>=0.22.0")
    install("peft", "0.22.0", "Requires-Dist: transformers>=5.20\n")

    check_extra("training", "peft")


def test_a_demand_that_our_bounds_do_not_know_yet(install):
    install.transformers("5.23.0", "accelerate>=2.0")
    install("accelerate", "1.15.0")

    assert told("training", "accelerate") == (
        "transformers 5.23.0 needs accelerate>=2.0, and accelerate 1.15.0 is installed; what fits is accelerate>=2.0: "
        'pip install "accelerate>=2.0"'
    )


def test_what_a_package_demands_of_transformers_itself(install):
    install.transformers("5.20.0")
    install("peft", "0.30.0", "Requires-Dist: transformers>=6\nRequires-Dist: fsspec>=9999\n")

    assert told("adapters", "peft").startswith(
        "peft 0.30.0 needs transformers>=6, and transformers 5.20.0 is installed"
    )


@pytest.mark.parametrize(
    ("extra", "package", "demand", "unmet"),
    [
        ("adapters", "peft", "huggingface_hub>=999", "huggingface-hub>=999"),
        ("evaluation", "datasets", "PyArrow>=999", "pyarrow>=999"),
    ],
)
def test_a_demand_is_read_in_any_spelling(install, extra, package, demand, unmet):
    pytest.importorskip("pyarrow")
    install.transformers("5.23.0")
    install(package, "99.0", f"Requires-Dist: this is no requirement\nRequires-Dist: {demand}\n")

    assert told(extra, package).startswith(f"{package} 99.0 needs {unmet}, and ")


def test_a_module_whose_distribution_is_spelled_in_another_way(install):
    install.transformers("5.23.0")
    install("onnx_ir", "0.1.0")

    assert told("onnx", "onnx_ir").startswith("prompteol 0.1.0 needs onnx-ir>=0.1.12, and onnx-ir 0.1.0 is installed")


@pytest.mark.parametrize(
    ("extra", "package", "old", "floor"),
    [
        ("adapters", "peft", "0.12.0", ">=0.21"),
        ("evaluation", "datasets", "2.0", ">=3"),
        ("parquet", "pyarrow", "1.0", ">=18"),
        ("plot", "matplotlib", "3.0", ">=3.9"),
        ("quantization", "bitsandbytes", "0.1", ">=0.46.1"),
        ("training", "accelerate", "0.1", ">=1.3"),
        ("training", "datasets", "3.1", ">=3.2"),
    ],
)
def test_a_package_below_the_floor_of_its_extra(install, extra, package, old, floor):
    install.transformers("5.23.0")
    install(package, old)

    assert told(extra, package) == (
        f"prompteol 0.1.0 needs {package}{floor}, and {package} {old} is installed; what fits is {package}{floor}: "
        f'pip install "{package}{floor}"'
    )


def test_an_absent_package_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)

    with pytest.raises(MissingExtraError, match=r"'peft' is needed here: pip install \"prompteol\[adapters\]\""):
        check_extra("adapters", "peft")


def test_installed_versions_fit():
    for extra, *packages in (
        ("adapters", "peft"),
        ("training", "accelerate", "datasets", "peft"),
        ("evaluation", "datasets"),
        ("parquet", "pyarrow"),
        ("plot", "matplotlib"),
    ):
        for package in packages:
            pytest.importorskip(package)
        check_extra(extra, *packages)


@pytest.mark.parametrize(
    "command",
    [
        ["train", "-m", "base", "-o", "made", "--data", "data.csv"],
        ["train", "-m", "base", "-o", "made", "--data", "data.csv", "--plot", "curve.png"],
        ["merge", "-m", "adapter", "-o", "made"],
    ],
    ids=["train", "train-plot", "merge"],
)
def test_the_command_line_ends_in_one_line_before_anything_is_loaded(newest_pair, tmp_path, command):
    work = tmp_path / "work"
    work.mkdir()
    path = os.pathsep.join([str(tmp_path / "site-packages"), os.environ.get("PYTHONPATH", "")])

    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "prompteol", *command],
        cwd=work,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert PAIR in " ".join(done.stderr.split())
    assert not list(work.iterdir())
    assert time.monotonic() - start < 30


def test_an_adapter_is_refused_before_its_base_is_looked_for(tmp_path, request):
    # Imported before the stand-ins are in place: sentence-transformers imports peft itself where there is one.
    assert PromptEOL.__name__
    request.getfixturevalue("newest_pair")
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    adapter.joinpath("adapter_config.json").write_text(
        '{"base_model_name_or_path": "nowhere/none", "peft_type": "LORA"}'
    )

    with pytest.raises(IncompatibleVersionError, match=r"transformers 5\.24\.0 needs peft>=0\.22\.0"):
        PromptEOL(str(adapter))
