"""Give LlamaIndex's Qdrant store the token weights of a PromptEOL model, for hybrid search."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal, TypedDict

from prompteol.embedder import embed_sparse

if TYPE_CHECKING:
    from prompteol import PromptEOL

Task = Literal["query", "document"]

__all__ = ["SparseFunctions", "sparse_functions"]

SparseEncoder = Callable[[list[str]], tuple[list[list[int]], list[list[float]]]]


class SparseFunctions(TypedDict):
    """Name the two arguments of ``QdrantVectorStore`` for sparse vectors."""

    sparse_doc_fn: SparseEncoder
    sparse_query_fn: SparseEncoder


def sparse_functions(model: PromptEOL, *, max_active_dims: int = 128, expand: bool = False) -> SparseFunctions:
    """Return the arguments with which ``QdrantVectorStore`` searches by words, too.

    .. code-block:: python

        store = QdrantVectorStore("notes", client=client, enable_hybrid=True, **sparse_functions(model))

    Args:
        model: a ``PromptEOL`` with an LM head; shared, not copied.
        max_active_dims: keep that many of the largest weights of a text.
        expand: weight every token of the vocabulary, not only those of the text's own words.
    """

    def of_task(task: Task) -> SparseEncoder:
        return partial(_encode, model, task, max_active_dims, expand)

    return {"sparse_doc_fn": of_task("document"), "sparse_query_fn": of_task("query")}


def _encode(
    model: PromptEOL, task: Task, max_active_dims: int, expand: bool, texts: list[str]
) -> tuple[list[list[int]], list[list[float]]]:
    return embed_sparse(model, texts, task, max_active_dims=max_active_dims, expand=expand)
