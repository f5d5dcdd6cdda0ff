"""Embed texts for a framework's adapter: plain lists of floats, index safety, notices on long texts."""

from prompteol.embedder.index_safety import Fingerprinted, check_index, index_metadata
from prompteol.embedder.long_texts import LongTextNotice, LongTextWarning
from prompteol.embedder.text_embedder import TextEmbedder, lock_for

__all__ = [
    "Fingerprinted",
    "LongTextNotice",
    "LongTextWarning",
    "TextEmbedder",
    "check_index",
    "index_metadata",
    "lock_for",
]
