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
    from prompteol.corpus import embed_corpus, open_corpus, search_corpus
    from prompteol.embedder import TextEmbedder
    from prompteol.model import Word
    from prompteol.prompts import (
        DEMONSTRATIONS,
        TEMPLATES,
        Demonstration,
        PromptTemplate,
        RetrievalTemplate,
    )
    from prompteol.saving import fingerprint
    from prompteol.sentence_transformers import PromptEOL
    from prompteol.tuning import tune_prompt

__version__ = version("prompteol")

_EXPORTS = {
    "DEMONSTRATIONS": "prompteol.prompts",
    "Demonstration": "prompteol.prompts",
    "PromptEOL": "prompteol.sentence_transformers",
    "PromptTemplate": "prompteol.prompts",
    "RetrievalTemplate": "prompteol.prompts",
    "TEMPLATES": "prompteol.prompts",
    "TextEmbedder": "prompteol.embedder",
    "Word": "prompteol.model",
    "embed_corpus": "prompteol.corpus",
    "fingerprint": "prompteol.saving",
    "open_corpus": "prompteol.corpus",
    "search_corpus": "prompteol.corpus",
    "tune_prompt": "prompteol.tuning",
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
    "search_corpus",
    "tune_prompt",
]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    if name == "errors":
        return import_module("prompteol.errors")
    raise AttributeError(f"module 'prompteol' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_EXPORTS])
