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
    from prompteol.acceleration import accelerate, restore
    from prompteol.corpus import embed_corpus, open_corpus, search_corpus
    from prompteol.embedder import LongTextWarning, TextEmbedder, check_index, guard_index
    from prompteol.embedder.encode_files import encode_files
    from prompteol.evaluation import evaluate, register_task
    from prompteol.inference import register_attention
    from prompteol.loading import model_info
    from prompteol.model import Word
    from prompteol.model.sparse import HybridVectors, hybrid_scores
    from prompteol.model.sparse_encoder import sparse_encoder
    from prompteol.model.windows import split_windows
    from prompteol.plots.picture import plot_similarity
    from prompteol.prompts import (
        DEMONSTRATIONS,
        TEMPLATES,
        Demonstration,
        PromptTemplate,
        RetrievalTemplate,
        register_template,
    )
    from prompteol.saving import fingerprint
    from prompteol.saving.export import export
    from prompteol.sentence_transformers import PromptEOL
    from prompteol.serving.check import check
    from prompteol.serving.verify import verify
    from prompteol.techniques import TECHNIQUES, register_technique
    from prompteol.techniques.fitting import fit_readout
    from prompteol.training import merge, train
    from prompteol.tuning import tune_prompt

__version__ = version("prompteol")

_EXPORTS = {
    "DEMONSTRATIONS": "prompteol.prompts",
    "Demonstration": "prompteol.prompts",
    "HybridVectors": "prompteol.model.sparse",
    "LongTextWarning": "prompteol.embedder",
    "PromptEOL": "prompteol.sentence_transformers",
    "PromptTemplate": "prompteol.prompts",
    "RetrievalTemplate": "prompteol.prompts",
    "TECHNIQUES": "prompteol.techniques",
    "TEMPLATES": "prompteol.prompts",
    "TextEmbedder": "prompteol.embedder",
    "Word": "prompteol.model",
    "accelerate": "prompteol.acceleration",
    "check": "prompteol.serving.check",
    "check_index": "prompteol.embedder",
    "embed_corpus": "prompteol.corpus",
    "encode_files": "prompteol.embedder.encode_files",
    "evaluate": "prompteol.evaluation",
    "export": "prompteol.saving.export",
    "fingerprint": "prompteol.saving",
    "fit_readout": "prompteol.techniques.fitting",
    "guard_index": "prompteol.embedder",
    "hybrid_scores": "prompteol.model.sparse",
    "merge": "prompteol.training",
    "model_info": "prompteol.loading",
    "open_corpus": "prompteol.corpus",
    "plot_similarity": "prompteol.plots.picture",
    "register_attention": "prompteol.inference",
    "register_task": "prompteol.evaluation",
    "register_technique": "prompteol.techniques",
    "register_template": "prompteol.prompts",
    "restore": "prompteol.acceleration",
    "search_corpus": "prompteol.corpus",
    "sparse_encoder": "prompteol.model.sparse_encoder",
    "split_windows": "prompteol.model.windows",
    "train": "prompteol.training",
    "tune_prompt": "prompteol.tuning",
    "verify": "prompteol.serving.verify",
}

__all__ = [
    "DEMONSTRATIONS",
    "TECHNIQUES",
    "TEMPLATES",
    "Demonstration",
    "HybridVectors",
    "LongTextWarning",
    "PromptEOL",
    "PromptTemplate",
    "RetrievalTemplate",
    "TextEmbedder",
    "Word",
    "accelerate",
    "check",
    "check_index",
    "embed_corpus",
    "encode_files",
    "errors",
    "evaluate",
    "export",
    "fingerprint",
    "fit_readout",
    "guard_index",
    "hybrid_scores",
    "merge",
    "model_info",
    "open_corpus",
    "plot_similarity",
    "register_attention",
    "register_task",
    "register_technique",
    "register_template",
    "restore",
    "search_corpus",
    "sparse_encoder",
    "split_windows",
    "train",
    "tune_prompt",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    if name == "errors":
        return import_module("prompteol.errors")
    raise AttributeError(f"module 'prompteol' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_EXPORTS])
