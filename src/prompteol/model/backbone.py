"""Load a backbone as a stock ``Transformer`` module: a base language model, or one with a PEFT adapter on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from sentence_transformers.base.modules import Transformer
from transformers import AutoTokenizer

from prompteol.extras import check_extra
from prompteol.model.adapter_loading import put_adapter
from prompteol.model.file_errors import reading
from prompteol.model.source import ModelSource, backbone_of

__all__ = ["LoadOptions", "load_backbone"]

_LAST = {"method": "forward", "method_output_name": "last_hidden_state"}


class LoadOptions:
    """How to load: what goes to transformers' ``from_pretrained`` calls.

    Args:
        model: keyword arguments of the model, ``dtype`` and ``device_map`` among them.
        processor: of the tokenizer.
        config: of the configuration.
        trust_remote_code: run modeling code from the repository. Off unless the user says so.
    """

    def __init__(
        self,
        model: Mapping[str, Any] | None = None,
        processor: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
        *,
        trust_remote_code: bool = False,
    ) -> None:
        self.model = dict(model or {})
        self.processor = dict(processor or {})
        self.config = dict(config or {})
        self.trust_remote_code = trust_remote_code

    def default_dtype(self, device: str) -> None:
        """Compute in fp32 on a CPU, where half precision is slow, unless a dtype was asked for."""
        chosen = {"dtype", "torch_dtype", "quantization_config", "device_map"} & (
            self.model.keys() | self.config.keys()
        )
        if not chosen and str(device).startswith("cpu"):
            self.model["dtype"] = torch.float32


def load_backbone(source: ModelSource, options: LoadOptions) -> Transformer:
    """Load a base model, or the base of an adapter with the adapter on it.

    Raises:
        ModelError: weights cannot be read, or the adapter does not fit its base.
    """
    if source.kind == "base":
        return _load_base(source, options)
    return _load_adapter(source, options)


def _load_base(source: ModelSource, options: LoadOptions) -> Transformer:
    files = {**source.hub_kwargs, "trust_remote_code": options.trust_remote_code}
    with reading(source.name):
        transformer: Transformer = Transformer(
            source.name,
            model_kwargs={**files, **options.model},
            processor_kwargs={**files, **options.processor},
            config_kwargs={**files, **options.config},
            modality_config={"text": _LAST},
            module_output_name="token_embeddings",
        )
    # RWKV would divide its weights in place at the first forward, and once more in each copy and saved model.
    if getattr(transformer.model.config, "rescale_every", 0):
        transformer.model.config.rescale_every = 0
    return transformer


def _load_adapter(source: ModelSource, options: LoadOptions) -> Transformer:
    check_extra("adapters", "peft")
    transformer = _load_base(backbone_of(source), options)
    put_adapter(source, transformer.model)
    _take_larger_tokenizer(source, transformer, options)
    return transformer


def _take_larger_tokenizer(source: ModelSource, transformer: Transformer, options: LoadOptions) -> None:
    """Use the adapter's own tokenizer where it was trained with tokens that its base does not have."""
    if source.file("tokenizer_config.json") is None:
        return
    files = {**source.hub_kwargs, "trust_remote_code": options.trust_remote_code, **options.processor}
    with reading(source.name):
        own = AutoTokenizer.from_pretrained(source.name, **files)
    base: Any = transformer.tokenizer
    rows = next(transformer.model.get_input_embeddings().parameters()).shape[0]
    if len(base) < len(own) <= rows:
        own.model_max_length = base.model_max_length
        transformer.processor = own
