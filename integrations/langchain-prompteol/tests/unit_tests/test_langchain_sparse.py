"""Token weights in LangChain's Qdrant store: hybrid search finds by words, and vectors are those of the model."""

import numpy as np
import pytest
from langchain_prompteol import PromptEOLEmbeddings, PromptEOLSparseEmbeddings
from langchain_qdrant import QdrantVectorStore, RetrievalMode

from prompteol import PromptEOL
from prompteol.errors import InputError

TEXTS = ["A man plays the guitar.", "A woman rides a horse.", "Two dogs run in the snow."]


@pytest.fixture(scope="module")
def model():
    return PromptEOL(template="promptreps", device="cpu")


def test_vectors_are_those_of_the_model(model):
    embeddings = PromptEOLSparseEmbeddings(model, max_active_dims=4)
    expected = model.encode_sparse(TEXTS, "document", max_active_dims=4)
    for row, found in enumerate(embeddings.embed_documents(TEXTS)):
        assert found.indices == expected[[row]].indices.tolist()
        assert found.values == pytest.approx(expected[[row]].data, abs=1e-5)
    query = embeddings.embed_query(TEXTS[0])
    np.testing.assert_allclose(query.values, model.encode_sparse(TEXTS[0], "query", max_active_dims=4).data, atol=1e-5)
    assert embeddings.embed_documents([]) == []
    with pytest.raises(InputError, match="text 0"):
        embeddings.embed_documents([3])


def test_search_by_words_and_hybrid_search_in_qdrant(model):
    options = {
        "embedding": PromptEOLEmbeddings.from_sentence_transformer(model),
        "sparse_embedding": PromptEOLSparseEmbeddings(model, expand=True),
        "location": ":memory:",
    }
    sparse = QdrantVectorStore.from_texts(TEXTS, retrieval_mode=RetrievalMode.SPARSE, **options)
    query, documents = (model.encode_sparse(*of, expand=True) for of in ((["a horse"], "query"), (TEXTS, "document")))
    best = TEXTS[int((query @ documents.T).toarray().argmax())]
    assert sparse.similarity_search("a horse", k=1)[0].page_content == best
    both = QdrantVectorStore.from_texts(TEXTS, retrieval_mode=RetrievalMode.HYBRID, **options)
    assert {found.page_content for found in both.similarity_search("a horse", k=3)} == set(TEXTS)
