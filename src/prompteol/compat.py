"""Collect every touch of a dependency that its public interface does not promise, one function each."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import transformers
from huggingface_hub.errors import HfHubHTTPError
from sentence_transformers.base.modules import transformer as transformer_module
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from transformers import AutoProcessor, PreTrainedTokenizerBase
from transformers.models.auto import modeling_auto

__all__ = [
    "PEFT_PREFIX",
    "adapter_layer_types",
    "checkpoints_activations",
    "dequantizing",
    "drop_final_norm",
    "eager_attention",
    "forget_preparation",
    "forward_hooks",
    "http_errors",
    "hub_errors",
    "initialized_weights",
    "language_model_types",
    "output_path",
    "read_output",
    "renames_weights",
    "reusing_tokenizer",
    "stop_checkpointing_activations",
    "variable_length_kernel",
    "visible_tokens",
]

#: What peft writes in front of the names of an adapter's weights.
PEFT_PREFIX = "base_model.model."


def adapter_layer_types() -> tuple[type, ...]:
    """Return the classes of the modules that peft puts in the place of a model's own."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import AuxiliaryTrainingWrapper

    return BaseTunerLayer, AuxiliaryTrainingWrapper


def drop_final_norm(config: Any) -> bool:
    """Have a configuration say that its architecture has no final norm, as OPT's can; return whether it can."""
    found = hasattr(config, "_remove_final_layer_norm")
    if found:
        config._remove_final_layer_norm = True
    return found


def dequantizing() -> dict[str, Any]:
    """Return what ``from_pretrained`` needs beside ``gguf_file`` to give plain weights, which can be saved.

    Since 5.22 transformers keeps them packed where it has a kernel; before, it had no other way than this.
    """
    config = getattr(transformers, "GgufConfig", None)
    return {"quantization_config": config(dequantize=True)} if config is not None else {}


def http_errors() -> tuple[type[Exception], ...]:
    """Return the classes of what the HTTP library below huggingface_hub raises: refusals, and no connection."""
    # Which library that is, huggingface_hub has changed twice.
    kinds: list[Any] = [kind for kind in HfHubHTTPError.__bases__ if kind is not OSError]
    library = sys.modules[kinds[0].__module__.partition(".")[0]]
    # A proxy or an endpoint that is no address is an error beside the others.
    return (*kinds, getattr(library, "InvalidURL", kinds[0]))


def hub_errors() -> tuple[type[Exception], ...]:
    """Return the classes of what a request to the Hub raises, an upload's among them."""
    # RuntimeError is what a thread raises that uploads one of several files.
    return (*http_errors(), OSError, RuntimeError, ValueError)


def renames_weights(model_type: str) -> bool:
    """Tell whether transformers renames the weights of an architecture when it reads them."""
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping

    return get_checkpoint_conversion_mapping(model_type) is not None


def language_model_types() -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return tables by ``model_type`` of the causal language models that transformers knows, and of the masked ones."""
    return modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES


@contextmanager
def initialized_weights() -> Iterator[list[str]]:
    """Collect the names of weights that transformers initializes in the block because no file holds them.

    transformers says so in a log record alone, which is read whatever its verbosity is; nothing is printed twice.
    """
    found: list[str] = []
    logger = logging.getLogger("transformers.modeling_utils")
    silent = not logger.isEnabledFor(logging.WARNING)

    def read(record: logging.LogRecord) -> bool:
        report = re.sub(r"\x1b\[[0-9;]*m", "", record.getMessage())
        found.extend(re.findall(r"^(\S+)\s*\|\s*MISSING\b", report, flags=re.MULTILINE))
        return not silent

    level = logger.level
    logger.addFilter(read)
    if silent:
        logger.setLevel(logging.WARNING)
    try:
        yield found
    finally:
        logger.removeFilter(read)
        logger.setLevel(level)


def forward_hooks(module: nn.Module | None) -> Iterator[Callable[..., Any]]:
    """Yield the hooks around a module's forward; of ``None`` those around every module's, in torch's tables."""
    where, prefix = (torch_module, "_global_") if module is None else (module, "_")
    for kind in ("forward_pre_hooks", "forward_hooks"):
        yield from getattr(where, prefix + kind).values()


def variable_length_kernel() -> Callable[..., Any]:
    """Return torch's attention over texts of many lengths, which its documentation calls experimental."""
    from torch.nn.attention import varlen

    return varlen.varlen_attn


def eager_attention(module: nn.Module) -> Callable[..., tuple[Tensor, Tensor | None]] | None:
    """Return ``eager_attention_forward`` of the modeling file that an attention module comes from, if it has one."""
    return getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)


def visible_tokens(mask_function: Callable[..., Tensor], zero: Tensor, positions: Tensor) -> Tensor:
    """Call transformers' mask function, (batch, head, query, key) to whether the key is seen, for one text."""
    return mask_function(zero, zero, positions[None, None, :, None], positions[None, None, None, :])


def read_output(transformer: Any, output: str | list[Any]) -> None:
    """Make sentence-transformers' ``Transformer`` give one output of its model, for texts taken as chat messages.

    Args:
        transformer: changed in place.
        output: a key of the model's output, or a path into it.
    """
    forward = {"method": "forward", "method_output_name": output}
    transformer.modality_config = {"text": forward, "message": {**forward, "format": "flat"}}
    transformer.module_output_name = "token_embeddings"
    transformer.input_formatter.message_format = "flat"
    transformer.input_formatter.supported_modalities = list(transformer.modality_config)


def output_path(modality_config: Mapping[Any, Any]) -> Any:
    """Return which output of its model a ``Transformer``'s configuration of modalities names for texts."""
    return (modality_config.get("text") or {}).get("method_output_name")


_tokenizer_at_hand: ContextVar[tuple[str, PreTrainedTokenizerBase] | None] = ContextVar("tokenizer", default=None)


class _ProcessorAtHand(AutoProcessor):  # type: ignore[misc]
    """Stand in for the ``AutoProcessor`` that the stock ``Transformer`` module calls."""

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, **kwargs: Any) -> Any:
        """Return the tokenizer that is at hand for this name, or read its files as ever."""
        name, tokenizer = _tokenizer_at_hand.get() or (None, None)
        if tokenizer is None or name != str(pretrained_model_name_or_path):
            return AutoProcessor.from_pretrained(pretrained_model_name_or_path, **kwargs)
        if "model_max_length" in kwargs:
            tokenizer.model_max_length = kwargs["model_max_length"]
        return tokenizer


@contextmanager
def reusing_tokenizer(tokenizer: PreTrainedTokenizerBase, name: str) -> Iterator[None]:
    """Let stock ``Transformer`` modules of one name take a tokenizer that was read already.

    The module offers no way to hand one over. Where it no longer calls ``AutoProcessor``, the files are read again.
    """
    transformer_module.AutoProcessor = _ProcessorAtHand  # type: ignore[attr-defined]
    token = _tokenizer_at_hand.set((name, tokenizer))
    try:
        yield
    finally:
        _tokenizer_at_hand.reset(token)


def checkpoints_activations(backbone: Any) -> bool:
    """Tell whether a backbone recomputes activations in its backward pass.

    transformers 5.23 deprecates the name that releases before it know alone.
    """
    names = ("is_activation_checkpointing", "is_gradient_checkpointing")
    return bool(getattr(backbone, next(name for name in names if hasattr(type(backbone), name))))


def stop_checkpointing_activations(backbone: Any) -> None:
    """Keep activations for the backward pass once more."""
    names = ("activation_checkpointing_disable", "gradient_checkpointing_disable")
    getattr(backbone, next(name for name in names if hasattr(type(backbone), name)))()


def forget_preparation(model: nn.Module) -> None:
    """Let accelerate prepare a model for a second training, autocast and all; else it takes it as prepared."""
    vars(model).pop("_is_accelerate_prepared", None)
