"""Make any causal language model a sentence embedder.

>>> from prompteol import PromptEOL
>>> model = PromptEOL()
>>> model.encode("A man is playing a guitar.").shape
(256,)

Names are imported when first used, so that ``import prompteol`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prompteol import errors
    from prompteol.artefact import fingerprint
    from prompteol.backbone import Word
    from prompteol.corpora import embed_corpus, open_corpus
    from prompteol.embedder import TextEmbedder
    from prompteol.prompts import (
        DEMONSTRATIONS,
        TEMPLATES,
        Demonstration,
        PromptTemplate,
        RetrievalTemplate,
    )
    from prompteol.search import search_demonstrations
    from prompteol.sentence_transformers import PromptEOL

__version__ = version("prompteol")

_HOMES = {
    "DEMONSTRATIONS": "prompteol.prompts",
    "Demonstration": "prompteol.prompts",
    "PromptEOL": "prompteol.sentence_transformers",
    "PromptTemplate": "prompteol.prompts",
    "RetrievalTemplate": "prompteol.prompts",
    "TEMPLATES": "prompteol.prompts",
    "TextEmbedder": "prompteol.embedder",
    "Word": "prompteol.backbone",
    "embed_corpus": "prompteol.corpora",
    "fingerprint": "prompteol.artefact",
    "open_corpus": "prompteol.corpora",
    "search_demonstrations": "prompteol.search",
}

__all__ = [
    "DEMONSTRATIONS",
    "TEMPLATES",
    "Demonstration",
    "PromptEOL",
    "PromptTemplate",
    "RetrievalTemplate",
    "TextEmbedder",
    "Word",
    "embed_corpus",
    "errors",
    "fingerprint",
    "open_corpus",
    "search_demonstrations",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name == "errors":
        return import_module("prompteol.errors")
    raise AttributeError(f"module 'prompteol' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
