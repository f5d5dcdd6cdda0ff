"""Collect every touch of a dependency that its public interface does not promise, one function each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.modules import module as torch_module

__all__ = ["eager_attention", "forward_hooks", "output_path", "read_output", "variable_length_kernel", "visible_tokens"]


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
