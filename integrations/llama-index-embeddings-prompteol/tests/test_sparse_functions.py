"""Token weights in LlamaIndex's Qdrant store: hybrid search finds by words."""

import pytest
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.schema import TextNode
from llama_index.embeddings.prompteol import PromptEOLEmbedding, sparse_functions

from prompteol import PromptEOL

TEXTS = ["A man plays the guitar.", "A woman rides a horse.", "Two dogs run in the snow."]


@pytest.fixture(scope="module")
def model():
    return PromptEOL(template="promptreps", device="cpu")


def test_functions_give_the_vectors_of_the_model(model):
    functions = sparse_functions(model, max_active_dims=4)
    for name, task in {"sparse_doc_fn": "document", "sparse_query_fn": "query"}.items():
        indices, values = functions[name](TEXTS)
        expected = model.encode_sparse(TEXTS, task, max_active_dims=4)
        assert [one for row in indices for one in row] == expected.indices.tolist()
        assert [one for row in values for one in row] == pytest.approx(expected.data.tolist(), abs=1e-5)


def test_hybrid_search_in_qdrant(model):
    qdrant = pytest.importorskip("llama_index.vector_stores.qdrant", reason="needs llama-index-vector-stores-qdrant")
    client = pytest.importorskip("qdrant_client").QdrantClient(":memory:")
    store = qdrant.QdrantVectorStore("notes", client=client, enable_hybrid=True, **sparse_functions(model, expand=True))
    embedding = PromptEOLEmbedding.from_sentence_transformer(model)
    index = VectorStoreIndex(
        [TextNode(text=text) for text in TEXTS],
        storage_context=StorageContext.from_defaults(vector_store=store),
        embed_model=embedding,
    )
    retriever = index.as_retriever(vector_store_query_mode="hybrid", similarity_top_k=1, sparse_top_k=1, alpha=0.0)
    query, documents = (model.encode_sparse(*of, expand=True) for of in ((["a horse"], "query"), (TEXTS, "document")))
    best = TEXTS[int((query @ documents.T).toarray().argmax())]
    assert retriever.retrieve("a horse")[0].node.get_content() == best
