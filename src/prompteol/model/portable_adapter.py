"""Save an adapter as an adapter only where transformers reads back what was saved; merge it where not."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy

import torch
from sentence_transformers.base.modules import Transformer
from torch import Tensor
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel

from prompteol.errors import ModelError
from prompteol.model.merged_adapter import has_adapter, merged_backbone, named_adapter_modules, stripped_backbone

__all__ = ["portable_transformer"]

# Of the largest entry: merging rounds the weights, reading back does not.
_READ_BACK, _MERGED = 1e-5, 1e-4
# In their sizes the base on disk must be what the backbone in memory is.
_SIZES = ("vocab_size", "num_hidden_layers", "hidden_size")


def portable_transformer(transformer: Transformer) -> Transformer:
    """Return what is to be saved of a Transformer module: itself, or a copy with its adapter merged.

    The adapter is saved to a temporary folder, read back as stock sentence-transformers reads it, onto a copy of the
    base that shares its memory, and compared: each weight, and the states of a few tokens. No weight is changed.

    Raises:
        ModelError: stock loaders would read another adapter, and it cannot be merged.
    """
    backbone: PreTrainedModel = transformer.model
    # Offloaded weights are refused with the fingerprint, for every model.
    if not has_adapter(backbone) or any(parameter.is_meta for parameter in backbone.parameters()):
        return transformer
    reason = _why_not_read_back(backbone)
    if reason is None:
        return transformer
    try:
        merged = merged_backbone(backbone)
        if _differ(_states(merged), _states(backbone), _MERGED):
            raise ModelError("merged, it gives other vectors than base plus adapter")
    except ModelError as error:
        raise ModelError(
            f"this model cannot be saved for stock loaders: as an adapter, {reason}; and {error}. Keep it with "
            "peft's own save_pretrained, or train an adapter that can be merged, such as LoRA"
        ) from error
    warnings.warn(f"the adapter is saved merged into its base, because as an adapter {reason}", stacklevel=4)
    # All else of the module is small, but a tokenizer's lock and cache need no copy.
    shared = (transformer.processor, transformer.config)
    return deepcopy(transformer, {id(backbone): merged} | {id(part): part for part in shared})


def _why_not_read_back(backbone: PreTrainedModel) -> str | None:
    changed = _changed_size(backbone)
    if changed:
        return changed
    try:
        active = backbone.active_adapters()
    except ValueError:
        return "transformers does not know of it and would save its layers under names that it does not read"
    if len(active) != 1:
        return f"stock loaders read one, and {len(active)} are active"
    base = stripped_backbone(backbone)
    with tempfile.TemporaryDirectory() as folder:
        try:
            backbone.save_pretrained(folder)
            base.load_adapter(folder)
        except (AttributeError, KeyError, NotImplementedError, OSError, RuntimeError, TypeError, ValueError) as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            return f"transformers cannot save and read it ({' '.join(str(error).split())[:200]})"
    read, saved = _tensors(base, "default"), _tensors(backbone, active[0])
    for name, value in saved.items():
        if name not in read:
            return f"transformers would lose {name!r}"
        if read[name].shape != value.shape or not _equal(read[name], value):
            return f"transformers would read back other values of {name!r}"
    if _differ(_states(base), _states(backbone), _READ_BACK):
        return "transformers would read back a model of other vectors"
    return None


def _changed_size(backbone: PreTrainedModel) -> str | None:
    """Name a size in which the backbone is no longer the base that its adapter would be put on."""
    try:
        base: PretrainedConfig = AutoConfig.from_pretrained(backbone.config.name_or_path or "")
    except (OSError, ValueError):
        return None
    for name in _SIZES:
        there, here = (
            getattr(base.get_text_config(), name, None),
            getattr(backbone.config.get_text_config(), name, None),
        )
        if there != here:
            return f"it would be put on a base with {name}={there}, and stands on one with {name}={here}"
    return None


def _tensors(backbone: PreTrainedModel, adapter: str) -> Mapping[str, Tensor]:
    """Return all that decides an adapter, non-persistent buffers too, named as if the adapter were called default."""
    tensors = {**dict(backbone.named_parameters()), **dict(backbone.named_buffers()), **backbone.state_dict()}
    own = [f"{name}." for name, _ in named_adapter_modules(backbone)]
    others = [f".{name}" for name in getattr(backbone, "peft_config", {}) if name != adapter]
    return {
        name.replace(f".{adapter}", ".default"): value
        for name, value in tensors.items()
        if name.startswith(tuple(own)) and not any(f"{other}." in f"{name}." for other in others)
    }


def _equal(one: Tensor, other: Tensor) -> bool:
    if one.data_ptr() == other.data_ptr() and one.shape == other.shape:
        return True
    return torch.equal(one.to(other), other)


def _states(backbone: PreTrainedModel) -> Tensor:
    """Return the states of tokens from all over the vocabulary."""
    embeddings = backbone.get_input_embeddings()
    rows = int(backbone.config.get_text_config().vocab_size)
    device = next(embeddings.parameters()).device
    ids = torch.linspace(0, rows - 1, 48, device=device).long().reshape(2, 24)
    with _evaluating(backbone), torch.inference_mode():
        output = backbone(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, return_dict=True)
    states: Tensor = output.last_hidden_state
    return states.float()


def _differ(one: Tensor, other: Tensor, share: float) -> bool:
    # Written so that NaN differs.
    return not bool((one - other).abs().max() <= share * other.abs().max())


@contextmanager
def _evaluating(backbone: PreTrainedModel) -> Iterator[None]:
    training = [module for module in backbone.modules() if module.training]
    backbone.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
