"""Weight the words of a text by the LM head's logits, and score sparse and dense vectors together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from prompteol.errors import SettingError
from prompteol.model.windows import WindowPooling, pool_windows

_WORD = re.compile(r"[^\W_]+")


class HybridVectors(NamedTuple):
    """Hold dense and sparse vectors of the same texts, (texts, dimension) and (texts, vocabulary)."""

    dense: np.ndarray
    sparse: csr_array


def words_of_text(text: str) -> list[str]:
    """Return the words that a text is found by: in lower case, without English stop words."""
    # Half a second that no other use of a model pays.
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    found = dict.fromkeys(_WORD.findall(text.lower()))
    return [word for word in found if word not in ENGLISH_STOP_WORDS]


def token_weights(
    logits: Tensor, texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, *, max_active_dims: int, expand: bool
) -> csr_array:
    """Return ``log(1 + relu(logit))`` of each text's own tokens, as PromptReps does, in SciPy's CSR form.

    Args:
        logits: those of the next token, (texts, vocabulary).
        texts: as they were embedded.
        tokenizer: the model's.
        max_active_dims: keep that many of the largest weights of a text.
        expand: weight every token of the vocabulary, not only those of the text's words.
    """
    weights = logits.float().relu().log1p()
    if not expand:
        own = torch.zeros_like(weights, dtype=torch.bool)
        for row, ids in enumerate(_ids_of_words(texts, tokenizer)):
            own[row, ids] = True
        weights = weights.masked_fill(~own, 0.0)
    values, columns = weights.topk(min(max_active_dims, weights.shape[1]), dim=1)
    kept = values > 0
    starts = np.concatenate([[0], kept.sum(dim=1).cumsum(0).cpu().numpy()])
    parts = (values[kept].cpu().numpy(), columns[kept].cpu().numpy(), starts)
    matrix = csr_array(parts, shape=tuple(weights.shape))
    matrix.sort_indices()
    return matrix


def hybrid_scores(
    queries: HybridVectors,
    documents: HybridVectors,
    *,
    sparse_weight: float = 0.5,
    windows: Sequence[int] | None = None,
    pooling: WindowPooling = "max",
) -> np.ndarray:
    """Score documents by dense cosine and sparse dot product together: (queries, documents).

    Both are scaled to 0 to 1 over the documents of a query, and added with the weight given.

    Args:
        queries, documents: what ``encode_hybrid`` gives.
        sparse_weight: 0 is dense alone, 1 sparse alone.
        windows: where each document's windows start among ``documents``, which are windows of
            :func:`~prompteol.split_windows` then.
        pooling: ``"max"`` scores a document by its best window, ``"mean"`` by all alike; dense and sparse each.
    """
    if not 0 <= sparse_weight <= 1:
        raise SettingError(f"sparse_weight={sparse_weight!r} is outside 0 to 1: give 0.5 to count both alike")
    dense = _unit(queries.dense) @ _unit(documents.dense).T
    sparse = (queries.sparse @ documents.sparse.T).toarray()
    if windows is not None:
        dense, sparse = (pool_windows(one, windows, pooling) for one in (dense, sparse))
    scores: np.ndarray = (1 - sparse_weight) * _scaled(dense) + sparse_weight * _scaled(sparse)
    return scores


def _ids_of_words(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Return the tokens of each text's words, as they begin a quotation: without a blank before them."""
    words = [words_of_text(text) for text in texts]
    distinct = sorted({word for found in words for word in found})
    if not distinct:
        return [[] for _ in texts]
    encoded: Any = tokenizer(distinct, add_special_tokens=False, return_attention_mask=False)
    ids = dict(zip(distinct, encoded["input_ids"], strict=True))
    return [[one for word in found for one in ids[word]] for found in words]


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: np.ndarray = vectors / np.maximum(length, np.finfo(np.float32).tiny)
    return unit


def _scaled(scores: np.ndarray) -> np.ndarray:
    low, high = scores.min(axis=1, keepdims=True), scores.max(axis=1, keepdims=True)
    scaled: np.ndarray = (scores - low) / np.maximum(high - low, np.finfo(np.float32).tiny)
    return scaled
