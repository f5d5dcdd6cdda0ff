"""Load a backbone as a stock ``Transformer`` module: a base language model, or one with a LoRA adapter on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from sentence_transformers.base.modules import Transformer
from torch import Tensor
from transformers import PreTrainedModel
from transformers.conversion_mapping import get_checkpoint_conversion_mapping

from prompteol.backbone.source import ADAPTER, Source, backbone_of
from prompteol.errors import ModelError, PromptEOLError

__all__ = ["LoadOptions", "check_adapter", "load_backbone", "naming_the_adapter"]

# What peft puts in front of the names of weights.
_PLAIN = "base_model.model."
_LAST = {"method": "forward", "method_output_name": "last_hidden_state"}


class LoadOptions:
    """How to load: what goes to transformers' ``from_pretrained`` calls.

    Args:
        model: keyword arguments of the model, ``dtype`` and ``device_map`` among them.
        processor: of the tokenizer.
        config: of the configuration.
        trust_remote_code: run modelling code from the repository. Off unless the user says so.
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


def load_backbone(source: Source, options: LoadOptions) -> Transformer:
    """Load a base model, or the base of an adapter with the adapter on it.

    Raises:
        ModelError: weights cannot be read, or the adapter does not fit its base.
    """
    if source.kind == "base":
        return _load_base(source, options)
    return _load_adapter(source, options)


def _load_base(source: Source, options: LoadOptions) -> Transformer:
    files = {**source.hub_kwargs, "trust_remote_code": options.trust_remote_code}
    try:
        transformer: Transformer = Transformer(
            source.name,
            model_kwargs={**files, **options.model},
            processor_kwargs={**files, **options.processor},
            config_kwargs={**files, **options.config},
            modality_config={"text": _LAST},
            module_output_name="token_embeddings",
        )
    except OSError as error:
        raise ModelError(f"the weights of {source.name!r} cannot be read: {' '.join(str(error).split())}") from error
    # RWKV would divide its weights in place at the first forward, and once more in each copy and saved model.
    if getattr(transformer.model.config, "rescale_every", 0):
        transformer.model.config.rescale_every = 0
    return transformer


def _load_adapter(source: Source, options: LoadOptions) -> Transformer:
    from peft import PeftConfig

    base = backbone_of(source)
    transformer = _load_base(base, options)
    backbone: PreTrainedModel = transformer.model
    files = source.hub_kwargs
    with naming_the_adapter(source):
        info = backbone.load_adapter(
            peft_config=PeftConfig.from_pretrained(source.name, **files), adapter_state_dict=_weights(source, backbone)
        )
    _refuse_if(source, {*info.missing_keys, *info.unexpected_keys})
    return transformer


@contextmanager
def naming_the_adapter(source: Source) -> Iterator[None]:
    """Say of an adapter that cannot be put on its base that it is so, where there is one.

    Raises:
        ModelError: its weights have other sizes, or the base has none of the layers that it stands on.
    """
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if isinstance(error, (PromptEOLError, torch.OutOfMemoryError)) or source.file(ADAPTER) is None:
            raise
        raise ModelError(
            f"adapter {source.name!r} does not fit its base {backbone_of(source).name!r}; was it trained on another "
            f"model? {' '.join(str(error).split())}"
        ) from error


def check_adapter(source: Source, backbone: PreTrainedModel) -> None:
    """Make sure that each weight of an adapter that a stock loader read has its place, and each place its weight.

    transformers only logs what it leaves out. Not looked into are architectures of which it renames the weights, as
    those with experts.

    Raises:
        ModelError: one has not.
    """
    from peft import get_peft_model_state_dict

    if get_checkpoint_conversion_mapping(backbone.config.model_type) is not None:
        return
    placed = {_PLAIN + key for key in get_peft_model_state_dict(backbone, save_embedding_layers=False)}
    # Embeddings with an adapter are saved whole beside it.
    whole = {_PLAIN + key for key in backbone.state_dict()}
    _refuse_if(source, placed ^ (_weights(source, backbone).keys() - whole))


def _refuse_if(source: Source, wrong: set[str]) -> None:
    if wrong:
        raise ModelError(
            f"adapter {source.name!r} does not fit its base {backbone_of(source).name!r}: {len(wrong)} weights are "
            f"missing or unknown, {min(wrong)!r} the first; was it trained on another model?"
        )


def _weights(source: Source, backbone: PreTrainedModel) -> dict[str, Tensor]:
    """Read an adapter's weights, named as on the backbone alone.

    Some were trained with the LM head around it, and on the head too, which embeddings have no use for.
    """
    from peft import load_peft_weights

    # From where they lie: peft asks the Hub for them even where they have been fetched.
    file = source.file("adapter_model.safetensors") or source.file("adapter_model.bin")
    weights = load_peft_weights(str(file.parent) if file else source.name, device="cpu")
    inner = f"{_PLAIN}{backbone.base_model_prefix}."
    if not any(key.startswith(inner) for key in weights):
        return dict(weights)
    return {_PLAIN + key.removeprefix(inner): value for key, value in weights.items() if key.startswith(inner)}
