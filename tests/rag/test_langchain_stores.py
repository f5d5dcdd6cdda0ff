"""LangChain's stores rank as numpy does over the model's own vectors."""

from __future__ import annotations

import pytest

pytest.importorskip("langchain_core")

from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_prompteol import PromptEOLEmbeddings

from prompteol.embedder.index_safety import check_index, index_metadata
from prompteol.errors import IndexMismatchError, SettingError
from retrieval_data import TOP
from small_models import stock_model


@pytest.fixture
def embeddings(model) -> PromptEOLEmbeddings:
    return PromptEOLEmbeddings.from_sentence_transformer(model)


@pytest.fixture
def documents(retrieval) -> list[Document]:
    return [Document(text, metadata={"name": name}) for name, text in retrieval.documents.items()]


def names(found: list[Document]) -> list[str]:
    return [document.metadata["name"] for document in found]


def test_in_memory(embeddings, documents, assert_same_ranking):
    retriever = InMemoryVectorStore.from_documents(documents, embeddings).as_retriever(search_kwargs={"k": TOP})
    assert_same_ranking(lambda query: names(retriever.invoke(query)))


def test_chroma_in_a_folder_opened_again(embeddings, documents, folder, assert_same_ranking):
    chroma = pytest.importorskip("langchain_chroma")
    settings = {
        "collection_name": "documents",
        "persist_directory": folder,
        # Chroma searches a graph: with a narrow one it misses a document now and then.
        "collection_configuration": {
            "hnsw": {"space": "cosine", "max_neighbors": 64, "ef_construction": 1000, "ef_search": 2000}
        },
        "collection_metadata": index_metadata(embeddings),
    }
    chroma.Chroma.from_documents(documents, embeddings, **settings)
    store = chroma.Chroma(embedding_function=embeddings, **settings)
    assert_same_ranking(lambda query: names(store.similarity_search(query, k=TOP)))


def test_chroma_keeps_the_fingerprint_of_what_built_it(embeddings, documents, folder):
    chromadb = pytest.importorskip("chromadb")
    chroma = pytest.importorskip("langchain_chroma")
    chroma.Chroma.from_documents(
        documents[:3],
        embeddings,
        collection_name="documents",
        persist_directory=folder,
        collection_metadata=index_metadata(embeddings),
    )
    metadata = chromadb.PersistentClient(folder).get_collection("documents").metadata
    check_index(metadata, embeddings)
    with pytest.raises(IndexMismatchError):
        check_index(metadata, PromptEOLEmbeddings.from_sentence_transformer(stock_model(seed=1)))


def test_qdrant(embeddings, documents, assert_same_ranking):
    qdrant = pytest.importorskip("langchain_qdrant")
    store = qdrant.QdrantVectorStore.from_documents(documents, embeddings, location=":memory:")
    assert_same_ranking(lambda query: names(store.similarity_search(query, k=TOP)))


@pytest.fixture
def another(model) -> PromptEOLEmbeddings:
    return PromptEOLEmbeddings.from_sentence_transformer(model, query_prompt="Find: ")


def test_chroma_in_a_folder_is_stamped_and_checked(embeddings, another, documents, folder):
    chroma = pytest.importorskip("langchain_chroma")
    settings = {"collection_name": "documents", "persist_directory": folder}
    chroma.Chroma.from_documents(documents[:3], embeddings.for_index(folder), **settings)
    store = chroma.Chroma(embedding_function=embeddings.for_index(folder), **settings)
    assert len(store.similarity_search("a", k=3)) == 3
    with pytest.raises(IndexMismatchError):
        another.for_index(folder)


def test_a_chroma_collection_is_stamped_and_checked(embeddings, another, documents, folder):
    chromadb = pytest.importorskip("chromadb")
    chroma = pytest.importorskip("langchain_chroma")
    client = chromadb.PersistentClient(folder)
    client.create_collection("documents", metadata={"hnsw:space": "cosine", "mine": "kept"}, embedding_function=None)
    guarded = embeddings.for_index(client.get_collection("documents"))
    chroma.Chroma.from_documents(documents[:3], guarded, collection_name="documents", client=client)
    assert client.get_collection("documents").metadata["mine"] == "kept"
    assert client.get_collection("documents").configuration["hnsw"]["space"] == "cosine"
    embeddings.for_index(client.get_collection("documents"))
    with pytest.raises(IndexMismatchError, match="'documents'"):
        another.for_index(client.get_collection("documents"))


def test_a_qdrant_collection_is_stamped_and_checked(embeddings, another, documents):
    qdrant_client = pytest.importorskip("qdrant_client")
    qdrant = pytest.importorskip("langchain_qdrant")
    client = qdrant_client.QdrantClient(":memory:")
    with pytest.raises(SettingError, match="create it first"):
        embeddings.for_index(client, name="documents")
    size = qdrant_client.models.VectorParams(size=embeddings.dimension, distance=qdrant_client.models.Distance.COSINE)
    client.create_collection("documents", size)
    guarded = embeddings.for_index(client, name="documents")
    qdrant.QdrantVectorStore(client, "documents", guarded).add_documents(documents[:3])
    embeddings.for_index(client, name="documents")
    with pytest.raises(IndexMismatchError, match="'documents'"):
        another.for_index(client, name="documents")


def test_qdrant_in_a_folder_is_stamped_and_checked(embeddings, another, documents, folder):
    qdrant = pytest.importorskip("langchain_qdrant")
    store = qdrant.QdrantVectorStore.from_documents(
        documents[:3], embeddings.for_index(folder), path=folder, collection_name="documents"
    )
    assert len(store.similarity_search("a", k=3)) == 3
    store.client.close()
    embeddings.for_index(folder)
    with pytest.raises(IndexMismatchError):
        another.for_index(folder)
