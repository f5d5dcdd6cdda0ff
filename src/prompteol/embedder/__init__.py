"""Embed texts for a framework's adapter: plain lists of floats, index safety, warnings about long texts.

All that an adapter of another framework needs is here; docs/extend/framework-adapter.md shows how to write one.
"""

from prompteol.embedder.index_safety import (
    METADATA_KEY,
    Fingerprinted,
    IndexGuard,
    check_index,
    guard_index,
    index_metadata,
    stamp_index,
)
from prompteol.embedder.long_texts import SENSIBLE_TOKENS, LongTextNotice, LongTextWarning
from prompteol.embedder.served import ServedModel, ServerEmbedder
from prompteol.embedder.server import EmbeddingServer
from prompteol.embedder.sparse_vectors import SparseVectors, embed_sparse
from prompteol.embedder.text_embedder import TextEmbedder, lock_for, model_state

__all__ = [
    "METADATA_KEY",
    "SENSIBLE_TOKENS",
    "EmbeddingServer",
    "Fingerprinted",
    "IndexGuard",
    "LongTextNotice",
    "LongTextWarning",
    "ServedModel",
    "ServerEmbedder",
    "SparseVectors",
    "TextEmbedder",
    "check_index",
    "embed_sparse",
    "guard_index",
    "index_metadata",
    "lock_for",
    "model_state",
    "stamp_index",
]
