"""Embed corpora of any size: shards, resume, several processes and devices, search."""

from prompteol.corpus.embed import embed_corpus
from prompteol.corpus.opened import Corpus, open_corpus
from prompteol.corpus.progress import Progress

__all__ = ["Corpus", "Progress", "embed_corpus", "open_corpus"]
