"""Refuse settings of a saved model that stock loaders obey and this package would not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling

from prompteol.errors import ArtifactError
from prompteol.model import MANIFEST, ModelSource

__all__ = ["check_stock_settings"]

_TRANSFORMER, _POOLING = "sentence_bert_config.json", "1_Pooling/config.json"


def check_stock_settings(transformer: Transformer, pooling: Pooling, source: ModelSource) -> None:
    """Make sure that a saved model's stock modules do what this package does in their place.

    Raises:
        ArtifactError: one was edited, and stock sentence-transformers would give other vectors.
    """
    for file, name, found, ours in _settings(transformer, pooling):
        if found != ours:
            raise ArtifactError(
                f"{source.name!r}: a PromptEOL model ({MANIFEST}) reads the last token of whole prompts, for which "
                f"{file} has {name}={ours!r}, and this one says {found!r}; set it back, or pass template=... to settle "
                "it and save the model, or load it with SentenceTransformer, which obeys it"
            )


def _settings(transformer: Transformer, pooling: Pooling) -> Iterator[tuple[str, str, Any, Any]]:
    yield _POOLING, "pooling_mode", pooling.pooling_mode, "lasttoken"
    yield _POOLING, "include_prompt", pooling.include_prompt, True
    yield _TRANSFORMER, "query_length", transformer.query_length, None
    yield _TRANSFORMER, "document_length", transformer.document_length, None
    yield _TRANSFORMER, "module_output_name", transformer.module_output_name, "token_embeddings"
    # Token types are left out of GPT-2's rows, see the module.
    text: Mapping[str, Any] = (transformer.processing_kwargs or {}).get("text") or {}
    yield (
        _TRANSFORMER,
        "processing_kwargs",
        {name: v for name, v in text.items() if name != "return_token_type_ids"},
        {},
    )
    # Without this modality stock loaders do not render the chat template, which is the prompt.
    yield _TRANSFORMER, "message format", _format(transformer), "flat"
    outputs = [modality.get("method_output_name") for modality in transformer.modality_config.values()]
    for output in outputs:
        known = output == "last_hidden_state" or (isinstance(output, list) and output[:1] == ["hidden_states"])
        yield _TRANSFORMER, "method_output_name", output, outputs[0] if known else "last_hidden_state"


def _format(transformer: Transformer) -> Any:
    message: Mapping[str, Any] = transformer.modality_config.get("message") or {}
    return message.get("format")
