"""Embed corpora of any size: shards, resume, several processes and devices, search."""

from prompteol.corpus.embed import embed_corpus
from prompteol.corpus.opened import Corpus, open_corpus
from prompteol.corpus.progress import CorpusProgress
from prompteol.corpus.search import CorpusSearch, Hit, search_corpus

__all__ = ["Corpus", "CorpusProgress", "CorpusSearch", "Hit", "embed_corpus", "open_corpus", "search_corpus"]
