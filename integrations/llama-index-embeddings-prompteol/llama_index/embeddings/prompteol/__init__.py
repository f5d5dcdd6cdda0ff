"""PromptEOL sentence embeddings for LlamaIndex."""

from llama_index.embeddings.prompteol.base import PromptEOLEmbedding
from llama_index.embeddings.prompteol.sparse import sparse_functions

__all__ = ["PromptEOLEmbedding", "sparse_functions"]
