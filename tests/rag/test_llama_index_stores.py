"""LlamaIndex's stores rank as numpy does over the model's own vectors."""

from __future__ import annotations

import pytest

pytest.importorskip("llama_index.core")

from llama_index.core import StorageContext, VectorStoreIndex, load_index_from_storage
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.embeddings.prompteol import PromptEOLEmbedding

from prompteol.errors import IndexMismatchError
from retrieval_data import TOP


@pytest.fixture
def embed_model(model) -> PromptEOLEmbedding:
    return PromptEOLEmbedding.from_sentence_transformer(model)


@pytest.fixture
def nodes(retrieval) -> list[TextNode]:
    return [TextNode(id_=name, text=text) for name, text in retrieval.documents.items()]


def names(found: list[NodeWithScore]) -> list[str]:
    return [node.node.node_id for node in found]


def test_simple_written_and_read_again(embed_model, nodes, folder, assert_same_ranking):
    VectorStoreIndex(nodes, embed_model=embed_model).storage_context.persist(folder)
    index = load_index_from_storage(StorageContext.from_defaults(persist_dir=folder), embed_model=embed_model)
    retriever = index.as_retriever(similarity_top_k=TOP)
    assert_same_ranking(lambda query: names(retriever.retrieve(query)))


def test_faiss(embed_model, nodes, model, assert_same_ranking):
    faiss = pytest.importorskip("faiss")
    stores = pytest.importorskip("llama_index.vector_stores.faiss")
    store = stores.FaissVectorStore(faiss_index=faiss.IndexFlatIP(model.get_embedding_dimension()))
    index = VectorStoreIndex(
        nodes, storage_context=StorageContext.from_defaults(vector_store=store), embed_model=embed_model
    )
    retriever = index.as_retriever(similarity_top_k=TOP)
    assert_same_ranking(lambda query: names(retriever.retrieve(query)))


# The store asks LanceDB for its tables by the older name.
@pytest.mark.filterwarnings("ignore:table_names:DeprecationWarning")
def test_lancedb(embed_model, nodes, folder, assert_same_ranking):
    stores = pytest.importorskip("llama_index.vector_stores.lancedb")
    store = stores.LanceDBVectorStore(uri=folder, mode="overwrite")
    index = VectorStoreIndex(
        nodes, storage_context=StorageContext.from_defaults(vector_store=store), embed_model=embed_model
    )
    retriever = index.as_retriever(similarity_top_k=TOP)
    assert_same_ranking(lambda query: names(retriever.retrieve(query)))


def test_a_persisted_index_is_stamped_and_checked(embed_model, model, nodes, folder):
    VectorStoreIndex(nodes[:3], embed_model=embed_model.for_index(folder)).storage_context.persist(folder)
    stored = StorageContext.from_defaults(persist_dir=folder)
    index = load_index_from_storage(stored, embed_model=embed_model.for_index(folder))
    assert len(index.as_retriever(similarity_top_k=3).retrieve("a")) == 3
    with pytest.raises(IndexMismatchError):
        PromptEOLEmbedding.from_sentence_transformer(model, truncate_dim=8).for_index(folder)


def test_faiss_of_another_dimension_is_refused_by_name(embed_model, folder):
    faiss = pytest.importorskip("faiss")
    with pytest.raises(IndexMismatchError, match=r"made for vectors of 7 dimensions, and this embedder returns \d+"):
        embed_model.for_index(folder, dimension=faiss.IndexFlatIP(7).d)
    embed_model.for_index(folder, dimension=faiss.IndexFlatIP(embed_model.dimension).d)


@pytest.mark.filterwarnings("ignore:table_names:DeprecationWarning")
def test_lancedb_is_stamped_and_checked(embed_model, model, nodes, folder):
    stores = pytest.importorskip("llama_index.vector_stores.lancedb")
    store = stores.LanceDBVectorStore(uri=folder, mode="overwrite")
    VectorStoreIndex(
        nodes[:3],
        storage_context=StorageContext.from_defaults(vector_store=store),
        embed_model=embed_model.for_index(folder),
    )
    opened = stores.LanceDBVectorStore(uri=folder, mode="append")
    index = VectorStoreIndex.from_vector_store(opened, embed_model=embed_model.for_index(folder))
    assert len(index.as_retriever(similarity_top_k=3).retrieve("a")) == 3
    with pytest.raises(IndexMismatchError):
        PromptEOLEmbedding.from_sentence_transformer(model, query_instruction="Find: ").for_index(folder)
