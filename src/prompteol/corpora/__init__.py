"""Embed corpora of any size: shards, resume, several processes and devices, search."""

from prompteol.corpora.embed import embed_corpus
from prompteol.corpora.opened import Corpus, open_corpus
from prompteol.corpora.progress import Progress

__all__ = ["Corpus", "Progress", "embed_corpus", "open_corpus"]
