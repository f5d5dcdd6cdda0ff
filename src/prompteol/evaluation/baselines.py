"""Embed by baselines: tf-idf, and the mean of the backbone's hidden states without a prompt."""

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


def tfidf(sentences: Sequence[str]) -> Any:
    """Return scikit-learn's tf-idf vectors, a sparse row each, fitted on these very sentences, as SentEval permits."""
    return TfidfVectorizer().fit_transform(sentences)


class MeanPooling:
    """Embed sentences as the mean of the backbone's last hidden states over all tokens, with no prompt.

    The paper's "avg" row: the same weights, the same tokenizer (with the BOS it adds), another vector.
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
            # In batches of equal length there is no padding, so nothing depends on a pad token or on positions.
            for _, equal in groupby(order, key=lambda number: len(tokens[number])):
                for batch in chunks(equal, batch_size):
                    inputs = torch.tensor([tokens[number] for number in batch], device=self._backbone.device)
                    states = self._backbone(input_ids=inputs, attention_mask=torch.ones_like(inputs)).last_hidden_state
                    rows.append(states.float().mean(dim=1).cpu().numpy())
        return np.concatenate(rows)[np.argsort(order)]
