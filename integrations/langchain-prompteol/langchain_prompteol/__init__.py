"""PromptEOL sentence embeddings for LangChain."""

from typing import TYPE_CHECKING, Any

from langchain_prompteol.embeddings import PromptEOLEmbeddings

if TYPE_CHECKING:
    from langchain_prompteol.sparse import PromptEOLSparseEmbeddings

__all__ = ["PromptEOLEmbeddings", "PromptEOLSparseEmbeddings"]


def __getattr__(name: str) -> Any:
    # Its interface is langchain-qdrant's, which not everybody has.
    if name == "PromptEOLSparseEmbeddings":
        from langchain_prompteol.sparse import PromptEOLSparseEmbeddings

        return PromptEOLSparseEmbeddings
    raise AttributeError(f"module 'langchain_prompteol' has no attribute {name!r}")
