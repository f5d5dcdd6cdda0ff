"""Every touch of a dependency that its public interface does not promise, one function each, with a canary test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from sentence_transformers.base.modules import transformer as transformer_module
from torch import nn
from torch.nn.modules import module as torch_module
from transformers import AutoProcessor, PreTrainedTokenizerBase

__all__ = ["PEFT_PREFIX", "adapter_layer_types", "forward_hooks", "renames_weights", "reusing_tokenizer"]

#: What peft writes in front of the names of an adapter's weights.
PEFT_PREFIX = "base_model.model."


def adapter_layer_types() -> tuple[type, ...]:
    """Return the classes of the modules that peft puts in the place of a model's own."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import AuxiliaryTrainingWrapper

    return BaseTunerLayer, AuxiliaryTrainingWrapper


def renames_weights(model_type: str) -> bool:
    """Tell whether transformers renames the weights of an architecture when it reads them."""
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping

    return get_checkpoint_conversion_mapping(model_type) is not None


def forward_hooks(module: nn.Module | None) -> Iterator[Callable[..., Any]]:
    """Yield the hooks around a module's forward; of ``None`` those around every module's, in torch's tables."""
    where, prefix = (torch_module, "_global_") if module is None else (module, "_")
    for kind in ("forward_pre_hooks", "forward_hooks"):
        yield from getattr(where, prefix + kind).values()


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
