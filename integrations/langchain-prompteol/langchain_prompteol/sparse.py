"""``PromptEOLSparseEmbeddings``: the token weights of a PromptEOL model for LangChain's hybrid search in Qdrant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from langchain_qdrant.sparse_embeddings import SparseEmbeddings, SparseVector

from prompteol.embedder import embed_sparse

if TYPE_CHECKING:
    from prompteol import PromptEOL

Task = Literal["query", "document"]

__all__ = ["PromptEOLSparseEmbeddings"]


class PromptEOLSparseEmbeddings(SparseEmbeddings):
    """Weight the words of queries and documents by the LM head, as PromptReps does.

    Setup:
        ``pip install "langchain-prompteol[qdrant]"``.

    Instantiate:
        .. code-block:: python

            from langchain_prompteol import PromptEOLEmbeddings, PromptEOLSparseEmbeddings
            from langchain_qdrant import QdrantVectorStore, RetrievalMode
            from prompteol import PromptEOL

            model = PromptEOL("HuggingFaceTB/SmolLM2-135M", template="promptreps")
            store = QdrantVectorStore.from_texts(
                ["A man plays the guitar.", "A woman rides a horse."],
                embedding=PromptEOLEmbeddings.from_sentence_transformer(model),
                sparse_embedding=PromptEOLSparseEmbeddings(model),
                retrieval_mode=RetrievalMode.HYBRID,
                location=":memory:",
            )

    Args:
        model: a ``PromptEOL`` with an LM head; shared, not copied.
        max_active_dims: keep that many of the largest weights of a text.
        expand: weight every token of the vocabulary, not only those of the text's own words.
    """

    def __init__(self, model: PromptEOL, *, max_active_dims: int = 128, expand: bool = False) -> None:
        self.model = model
        self.max_active_dims = max_active_dims
        self.expand = expand

    def embed_documents(self, texts: list[str]) -> list[SparseVector]:
        """Weight the words of documents.

        Raises:
            prompteol.errors.PromptEOLError: a text is no string, or the model has no LM head.
        """
        return self._embed(texts, "document")

    def embed_query(self, text: str) -> SparseVector:
        """Weight the words of one query."""
        return self._embed([text], "query")[0]

    def _embed(self, texts: list[str], task: Task) -> list[SparseVector]:
        found = embed_sparse(self.model, texts, task, max_active_dims=self.max_active_dims, expand=self.expand)
        return [SparseVector(indices=ids, values=weights) for ids, weights in zip(*found, strict=True)]
