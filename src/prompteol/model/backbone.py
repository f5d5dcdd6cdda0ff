"""Load a backbone as a stock ``Transformer`` module: a base language model, or one with a PEFT adapter on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from sentence_transformers.base.modules import Transformer
from transformers import AutoTokenizer

from prompteol.errors import ModelError
from prompteol.extras import check_extra
from prompteol.model.adapter_loading import put_adapter
from prompteol.model.source import ModelSource, backbone_of, reading

_LAST = {"method": "forward", "method_output_name": "last_hidden_state"}
# The device maps that accelerate computes by itself, and its places for weights that fit on no device.
_AUTOMATIC_MAPS = frozenset({"auto", "balanced", "balanced_low_0", "sequential", "disk"})


@dataclass
class LoadOptions:
    """Hold the arguments of transformers' ``from_pretrained`` for the model, the tokenizer and the configuration."""

    model: Mapping[str, Any] = field(default_factory=dict)
    processor: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    trust_remote_code: bool = False

    def check_placement(self, device: Any) -> None:
        """Raise ModelError for a device, device map or dtype that does not exist, before any weight is read."""
        check_device(device)
        placed = self.model.get("device_map")
        for there in placed.values() if isinstance(placed, Mapping) else [placed]:
            if there is not None and there not in _AUTOMATIC_MAPS:
                check_device(there, "device_map=")
        for key in ("dtype", "torch_dtype"):
            _check_dtype(key, self.model.get(key))
            _check_dtype(key, self.config.get(key))

    def with_default_dtype(self, device: str) -> LoadOptions:
        """Return options that compute in fp32 on a CPU, where half precision is slow, unless a dtype is given."""
        chosen = {"dtype", "torch_dtype", "quantization_config", "device_map"} & {*self.model, *self.config}
        if chosen or not str(device).startswith("cpu"):
            return self
        return replace(self, model={**self.model, "dtype": torch.float32})

    def files_of(self, source: ModelSource) -> dict[str, Any]:
        """Return the arguments for every ``from_pretrained`` that reads a file of a source."""
        return {**source.loading_kwargs, "trust_remote_code": self.trust_remote_code}


def check_device(device: Any, name: str = "device=") -> None:
    """Raise ModelError for a device, or one of a list, that torch cannot use; ``name`` is the argument's."""
    for one in device if isinstance(device, list) else [device]:
        try:
            torch.empty(0, device=one)
        # torch raises four kinds of errors for this, depending on the device.
        except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
            found = torch.accelerator.current_accelerator(check_available=True)
            there = [f"{found.type}:{index}" for index in range(torch.accelerator.device_count())] if found else []
            raise ModelError(
                f"{name}{one!r} cannot be used here, where there is {' and '.join(['cpu', *there])}: "
                f"{str(error).splitlines()[0]:.200}"
            ) from error


def _check_dtype(key: str, dtype: Any) -> None:
    """Refuse a dtype that is not floating-point; a mapping names one for each part of a composite model."""
    for value in dtype.values() if isinstance(dtype, Mapping) else [dtype]:
        found = getattr(torch, value, None) if isinstance(value, str) else value
        known = isinstance(found, torch.dtype) and found.is_floating_point
        if value not in (None, "auto") and not known:
            raise ModelError(f"{key}={value!r} is no dtype to compute in: give 'auto', float32, bfloat16 or float16")


def load_backbone(source: ModelSource, options: LoadOptions) -> Transformer:
    """Load a base model, or an adapter on its base; raise ModelError if that is not possible."""
    if source.kind == "base":
        return _load_base(source, options)
    check_extra("adapters", "peft")
    transformer = _load_base(backbone_of(source), options)
    put_adapter(source, transformer.model)
    _take_larger_tokenizer(source, transformer, options)
    return transformer


def _load_base(source: ModelSource, options: LoadOptions) -> Transformer:
    files = options.files_of(source)
    with reading(source.name, {**options.model, **options.processor, **options.config}):
        transformer: Transformer = Transformer(
            source.name,
            model_kwargs={**files, **source.weights_kwargs, **options.model},
            processor_kwargs={**files, **options.processor},
            config_kwargs={**files, **options.config},
            modality_config={"text": _LAST},
            module_output_name="token_embeddings",
        )
    # RWKV would divide its weights in place at the first forward, and again in each copy and saved model.
    if getattr(transformer.model.config, "rescale_every", 0):
        transformer.model.config.rescale_every = 0
    return transformer


def _take_larger_tokenizer(source: ModelSource, transformer: Transformer, options: LoadOptions) -> None:
    """Use the adapter's own tokenizer where it was trained with tokens that its base does not have."""
    if source.file("tokenizer_config.json") is None:
        return
    with reading(source.name):
        own = AutoTokenizer.from_pretrained(source.name, **{**options.files_of(source), **options.processor})
    base: Any = transformer.tokenizer
    rows = next(transformer.model.get_input_embeddings().parameters()).shape[0]
    if len(base) < len(own) <= rows:
        own.model_max_length = base.model_max_length
        transformer.processor = own
