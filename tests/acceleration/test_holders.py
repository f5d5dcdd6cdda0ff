"""Frameworks that hold a SentenceTransformer hold an accelerated one just as well: the lines of docs/accelerate.md."""

import numpy as np
import pytest

import prompteol
from acceleration.conftest import TEXTS, assert_same, build_embedder, packed_tokens


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("embedder")
    build_embedder().save_pretrained(str(path))
    return str(path)


def check(model, embed):
    stock = embed()
    prompteol.accelerate(model)
    assert_same(np.array(embed()), np.array(stock))
    assert packed_tokens(model)


def test_langchain(folder):
    langchain = pytest.importorskip("langchain_huggingface", reason="pip install langchain-huggingface")
    embeddings = langchain.HuggingFaceEmbeddings(model_name=folder)
    check(embeddings._client, lambda: embeddings.embed_documents(TEXTS))


def test_llama_index(folder):
    reason = "pip install llama-index-embeddings-huggingface"
    llama_index = pytest.importorskip("llama_index.embeddings.huggingface", reason=reason)
    embed_model = llama_index.HuggingFaceEmbedding(model_name=folder, device="cpu", normalize=False)
    check(embed_model._model, lambda: embed_model.get_text_embedding_batch(TEXTS))


def test_haystack(folder):
    name = "haystack_integrations.components.embedders.sentence_transformers"
    haystack = pytest.importorskip(name, reason="pip install sentence-transformers-haystack")
    document = pytest.importorskip("haystack").Document
    embedder = haystack.SentenceTransformersDocumentEmbedder(model=folder, progress_bar=False)
    embedder.warm_up()
    documents = [document(content=text or "none") for text in TEXTS]
    check(
        embedder.embedding_backend.model,
        lambda: [found.embedding for found in embedder.run(documents)["documents"]],
    )


# Calls of mteb's own, to itself and to sentence-transformers.
@pytest.mark.filterwarnings("ignore:The fill_missing parameter is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The `get_sentence_embedding_dimension` method has been renamed:FutureWarning")
def test_mteb():
    mteb = pytest.importorskip("mteb")
    model = build_embedder()
    wrapped = mteb.models.SentenceTransformerEncoderWrapper(model)
    assert wrapped.model is model
    check(wrapped.model, lambda: wrapped.model.encode(TEXTS))
