"""FastEmbed, transformers 4 and sentence-transformers 3 read an export, each in an environment of its own.

``$PROMPTEOL_SERVERS`` names the folder in which ``scripts/serve`` made the environments.
"""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from prompteol import PromptEOL, export
from prompteol.saving.export.prompt import ExportedPrompt

CLIENTS = Path(__file__).parents[3] / "scripts" / "serving" / "clients"
TEXTS = ["A man is playing a guitar.", "Why?", 'say "hi" {{ x }}', "😀 文字。", "photo.png", "  two  blanks\n"]


@pytest.fixture(scope="session")
def ask():
    """Run a client in an environment: ``ask(environment, client, folder)`` returns what it prints."""
    environments = os.environ.get("PROMPTEOL_SERVERS")

    def ask(environment, client, folder):
        python = Path(environments or "", environment, "bin", "python")
        if not environments or not python.exists():
            pytest.skip(f"needs the environment {environment} of scripts/serve: set PROMPTEOL_SERVERS to their folder")
        done = subprocess.run(
            [python, CLIENTS / client, folder], input=json.dumps(TEXTS), capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONPATH": ""},
        )  # fmt: skip
        return json.loads(done.stdout.splitlines()[-1])

    return ask


@pytest.mark.parametrize("architecture", [None, "llama", "opt", "gpt2", "qwen2"], ids=str)
def test_transformers_4_makes_our_rows(ask, tiny, architecture, tmp_path):
    model = PromptEOL(architecture and tiny(architecture), device="cpu")
    export(model, tmp_path / "out")
    rows = ask("transformers4", "with_tokenizers.py", tmp_path / "out")
    own = ExportedPrompt(model.module.prompter).rows(TEXTS)
    assert rows == {"tokenizers": own, "AutoTokenizer": own}


@pytest.mark.parametrize("architecture", [None, "llama", "gpt2"], ids=str)
def test_fastembed_gives_our_vectors(ask, tiny, architecture, tmp_path):
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    model = PromptEOL(architecture and tiny(architecture), device="cpu")
    export(model, tmp_path / "out", onnx=True)
    assert_equal(ask("fastembed", "with_fastembed.py", tmp_path / "out"), model)


@pytest.mark.parametrize("architecture", [None, "llama", "gpt2"], ids=str)
def test_sentence_transformers_3_gives_our_vectors(ask, tiny, architecture, tmp_path):
    model = PromptEOL(architecture and tiny(architecture), device="cpu")
    export(model, tmp_path / "out", normalize=True)
    assert_equal(ask("infinity", "with_sentence_transformers.py", tmp_path / "out"), model)


def assert_equal(vectors, model):
    ours, theirs = (unit(np.array(matrix)) for matrix in (model.encode(TEXTS), vectors))
    assert np.abs(ours - theirs).max() <= 4e-6


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
