"""Keep the middle singular directions of the unembedding matrix."""

from prompteol.techniques.embed_filter.config import EmbedFilter
from prompteol.techniques.registry import register_technique

__all__ = ["EmbedFilter"]

register_technique("embed-filter", EmbedFilter)
