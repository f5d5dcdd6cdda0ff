"""Offer a model's token weights as a ``SparseEncoder`` of sentence-transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import InputModule

from prompteol.errors import SettingError
from prompteol.prompts import PromptTask
from prompteol.validation import check_count

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from prompteol.model.lexical import LexicalModel


class TokenWeights(InputModule):
    """Weight the words of texts by a model's LM head: the only module of a ``SparseEncoder``."""

    forward_kwargs: ClassVar[set[str]] = {"max_active_dims", "expand"}  # type: ignore[misc]

    def __init__(self, model: LexicalModel, *, expand: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.model = model
        self.expand = expand

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:  # type: ignore[override]
        """The model's tokenizer, whose tokens are the dimensions."""
        return self.model.tokenizer

    @property
    def max_seq_length(self) -> int | None:
        """How many tokens a prompt may have."""
        return self.model.max_seq_length

    def get_embedding_dimension(self) -> int:
        """Return the size of the vocabulary."""
        return int(self.model.head.unembedding.shape[0])

    def preprocess(  # type: ignore[override]
        self, inputs: Sequence[str], prompt: str | None = None, *, task: PromptTask | None = None, **_: Any
    ) -> dict[str, Any]:
        """Pass the texts on: which of their tokens are weighted is for the words of the text to say."""
        if prompt:
            raise SettingError(
                f"prompt={prompt!r}: the prompts of a PromptEOL hold here, by task; set them there: model.prompts"
            )
        return {"texts": list(inputs), "task": task}

    def forward(
        self, features: dict[str, Any], max_active_dims: int | None = None, expand: bool | None = None, **_: Any
    ) -> dict[str, Any]:
        """Return the weights as ``sentence_embedding``, (texts, vocabulary), mostly zeros."""
        most = self.get_embedding_dimension() if max_active_dims is None else max_active_dims
        sparse = self.model.encode_sparse(
            features["texts"],
            features["task"],
            max_active_dims=most,
            expand=self.expand if expand is None else expand,
        )
        return {**features, "sentence_embedding": torch.from_numpy(sparse.toarray()).to(self.model.device)}

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Refuse: no stock module weights a text's own words by an LM head."""
        raise SettingError(
            f"{output_path!r}: a SparseEncoder of PromptEOL's weights has no saved form: save the PromptEOL, and make "
            "the encoder of what PromptEOL(...) loads"
        )


def sparse_encoder(model: LexicalModel, *, max_active_dims: int | None = 128, expand: bool = False) -> SparseEncoder:
    """Return a stock ``SparseEncoder`` around a model: ``encode_query``, ``encode_document``, ``similarity``, ...

    It computes what ``model.encode_sparse`` does, with the model as it is at the time. It cannot be saved, trained or
    sent to other processes, and takes no prompt but the model's own.

    Args:
        model: a ``PromptEOL``; shared, not copied.
        max_active_dims: keep that many of the largest weights of a text; ``None``: all of them.
        expand: weight every token of the vocabulary, not only those of the text's own words.

    Raises:
        ModelError: the model has no LM head.
        SettingError: the model embeds by a forward technique, whose prompts are several.
    """
    check_count("max_active_dims", max_active_dims)
    model.head  # noqa: B018 - its absence is an error now, not with the first text
    if model.technique is not None:
        raise SettingError(f"{model.technique} fills several prompts, and sparse vectors come from one: load without")
    return SparseEncoder(
        modules=[TokenWeights(model, expand=expand)], max_active_dims=max_active_dims, device=str(model.device)
    )
