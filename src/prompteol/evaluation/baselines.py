"""Baselines to stand beside a model: tf-idf, and the mean of the backbone's states without a prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

from prompteol.errors import ModelError
from prompteol.files import chunks

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["MeanPooling", "tfidf"]


def tfidf(sentences: Sequence[str]) -> Any:
    """Return tf-idf vectors of words, fitted on these very sentences: a sparse matrix with one row each.

    The vectorizer is scikit-learn's with its defaults: lower-cased words of two letters and more, unit length.
    It sees the sentences of one task and no label; SentEval's ``prepare`` grants its models the same.
    """
    return TfidfVectorizer().fit_transform(sentences)


class MeanPooling:
    """Embed sentences as the mean of the backbone's last hidden states over all tokens, with no prompt.

    The paper's "avg" row: the same weights, the same tokenizer (with the BOS it adds), another vector.

    Args:
        model: one whose first module carries a Hugging Face backbone and its tokenizer, as every
            ``PromptEOL`` and every Transformer-based SentenceTransformer does.

    Raises:
        ModelError: the first module carries none.
    """

    def __init__(self, model: SentenceTransformer) -> None:
        module: Any = getattr(model[0], "transformer", model[0])
        self._backbone: Any = getattr(module, "model", None)
        self._tokenizer: Any = getattr(module, "tokenizer", None)
        if self._backbone is None or self._tokenizer is None:
            raise ModelError(f"{type(model[0]).__name__} holds no backbone and tokenizer to pool over")

    def parameters(self) -> Iterator[Any]:
        """Iterate over the backbone's weights, for its size and dtype."""
        return iter(self._backbone.parameters())

    def encode(self, sentences: list[str], *, batch_size: int = 32, **_: Any) -> NDArray[np.float32]:
        """Embed sentences: float32, shape (sentences, hidden size)."""
        import torch

        # A text of no token, an empty one without BOS, is taken for the end of a text.
        end = self._tokenizer.eos_token_id or 0
        tokens = [ids or [end] for ids in self._tokenizer(list(sentences), truncation=True)["input_ids"]]
        order = sorted(range(len(tokens)), key=lambda number: len(tokens[number]))
        rows: list[NDArray[np.float32]] = []
        with torch.inference_mode():
            for batch in _same_length(order, tokens, batch_size):
                ids = torch.tensor([tokens[number] for number in batch], device=self._backbone.device)
                states = self._backbone(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
                rows.append(states.float().mean(dim=1).cpu().numpy())
        embeddings = np.concatenate(rows)
        return embeddings[np.argsort(order)]


def _same_length(order: list[int], tokens: list[list[int]], batch_size: int) -> Iterator[list[int]]:
    """Batch sentences of equal length: no padding, so nothing depends on a pad token or on positions."""
    for _, equal in groupby(order, key=lambda number: len(tokens[number])):
        yield from chunks(equal, batch_size)
