"""A tiny model loaded once, a corpus of a few shards, and digests of whole folders."""

import hashlib
import json
from pathlib import Path

import pytest

from prompteol import PromptEOL
from prompteol.testing import tiny_tokenizer


@pytest.fixture(scope="session")
def base(tiny):
    return tiny("llama")


@pytest.fixture(scope="session")
def model(base):
    return PromptEOL(base, device="cpu")


@pytest.fixture(scope="session")
def static():
    """Return a model that takes no time: a bag of random byte vectors."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    return SentenceTransformer(modules=[StaticEmbedding(tiny_tokenizer(), embedding_dim=8)], device="cpu")


@pytest.fixture
def texts():
    return [f"Sentence {number} of a corpus, {'and so on ' * (number % 7)}." for number in range(130)]


@pytest.fixture
def corpus_file(tmp_path, texts):
    path = tmp_path / "corpus.jsonl"
    lines = (json.dumps({"id": f"doc-{number}", "n": number, "text": text}) for number, text in enumerate(texts))
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def digest():
    """Hash every file of a folder, hidden ones too."""

    def digest(folder) -> dict[str, str]:
        files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    return digest
