"""Save an adapter as an adapter only where transformers reads back what was saved; merge it where not.

No weight of the backbone changes: what is merged, or stripped of its adapter, is a copy.
"""

from __future__ import annotations

import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import deepcopy
from typing import Any

import torch
from sentence_transformers.base.modules import Transformer
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils import logging

from prompteol.errors import ModelError
from prompteol.model.adapter_state import has_adapter, named_adapter_modules, own_module, tensors_as_saved
from prompteol.model.source import DAMAGE, reading, vector_settings

# Tolerances relative to the largest entry: merging rounds the weights, reading back does not.
_READ_BACK, _MERGED = 1e-5, 1e-4
# Initializations of LoRA that change the base each time such an adapter is read.
_CHANGES_BASE = re.compile(r"pissa.*|olora|corda|loftq")


def portable_transformer(transformer: Transformer, files: Mapping[str, Any] | None = None) -> Transformer:
    """Return the Transformer module to save: itself, or a copy with its adapter merged.

    The base is compared with its files, which ``files`` say how to reach, in transformers' words. The adapter is saved
    to a temporary folder, read back as stock sentence-transformers reads it, onto a copy of the base that shares its
    memory, and compared. ModelError is raised if it comes back changed and cannot be merged.
    """
    backbone: PreTrainedModel = transformer.model
    if "peft" in sys.modules and isinstance(backbone, sys.modules["peft"].PeftModel):
        raise ModelError(
            f"the backbone is wrapped in {type(backbone).__name__}, which stock loaders cannot read: put the adapter "
            "on it with model.add_adapter(config), or merge it first with the wrapper's merge_and_unload()"
        )
    # Offloaded weights are refused with the fingerprint, for every model.
    if not has_adapter(backbone) or any(parameter.is_meta for parameter in backbone.parameters()):
        return transformer
    reason = _why_not_read_back(backbone, files or {})
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


def merged_backbone(backbone: PreTrainedModel) -> PreTrainedModel:
    """Return a copy with the active adapter merged, or raise ModelError; all other weights are shared."""
    with torch.no_grad():
        return _replacing_adapters(backbone, _merged)


def _replacing_adapters(backbone: PreTrainedModel, replace: Callable[[str, Any], nn.Module]) -> PreTrainedModel:
    """Return a copy with other modules in the place of peft's; it shares the memory of weights, not the parameters."""
    memo: dict[int, Any] = {id(buffer): buffer for buffer in backbone.buffers()}
    for module in backbone.modules():
        for parameter in module.parameters(recurse=False):
            plain = type(parameter) is nn.Parameter
            memo[id(parameter)] = nn.Parameter(parameter.detach(), requires_grad=False) if plain else parameter
            if not plain:
                # Quantized layers hold weights beside their parameters.
                memo[id(module)] = module
    copy = deepcopy(backbone, memo)
    for name, part in list(named_adapter_modules(copy)):
        copy.set_submodule(name, replace(name, part))
    for name in list(getattr(copy, "peft_config", {})):
        with suppress(KeyError, ValueError):
            copy.delete_adapter(name)
    if hasattr(copy, "peft_config"):
        del copy.peft_config
    return copy


def _merged(name: str, part: Any) -> nn.Module:
    from peft.utils import AuxiliaryTrainingWrapper

    # Some kinds merge in place.
    for parameter in part.parameters():
        parameter.data = parameter.data.clone()
    whole: nn.Module
    try:
        if isinstance(part, AuxiliaryTrainingWrapper):
            if part.disable_adapters:
                whole = own_module(part)
                return whole
            whole = part.unload_and_optionally_merge_module(merge=True, safe_merge=True, adapter_names=None)
            return whole
        layers = [part]
        while hasattr(layers[-1].base_layer, "base_layer"):
            layers.append(layers[-1].base_layer)
        for layer in reversed(layers):
            if not layer.disable_adapters:
                layer.merge(safe_merge=True)
            elif layer.merged:
                layer.unmerge()
        whole = part.get_base_layer()
        return whole
    except torch.OutOfMemoryError:
        raise
    except DAMAGE as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"this adapter cannot be merged into its base: {name}: {reason}") from error


def _why_not_read_back(backbone: PreTrainedModel, files: Mapping[str, Any]) -> str | None:
    try:
        active = backbone.active_adapters()
    except ValueError:
        return "transformers does not know of it and would save its layers under names that it does not read"
    if len(active) != 1:
        return f"stock loaders read one, and {len(active)} are active"
    config = backbone.peft_config[active[0]]
    init = getattr(config, "init_lora_weights", None)
    if isinstance(init, str) and _CHANGES_BASE.fullmatch(init):
        return f"init_lora_weights={init!r} would change its base once more whenever it is read"
    base = _replacing_adapters(backbone, lambda _, part: own_module(part))
    if changed := _changed_base(base, str(config.base_model_name_or_path or ""), files):
        return changed
    verbosity = logging.get_verbosity()
    # Reports on this trial, such as missing keys, say nothing about the files that will be saved.
    logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as folder:
        try:
            backbone.save_pretrained(folder)
            base.load_adapter(folder)
        except torch.OutOfMemoryError:
            raise
        except DAMAGE as error:
            return f"transformers cannot save and read it ({' '.join(str(error).split())[:200]})"
        finally:
            logging.set_verbosity(verbosity)
    read, saved = _tensors(base), _tensors(backbone)
    for name, value in saved.items():
        if name not in read:
            return f"transformers would lose {name!r}"
        there = read[name]
        shared = there.data_ptr() == value.data_ptr()
        if there.shape != value.shape or not (shared or torch.equal(there, value.to(there))):
            return f"transformers would read back other values of {name!r}"
    # A base in half precision has its adapter read in half precision.
    rounding = 4 * torch.finfo(base.dtype).eps if base.dtype.itemsize < 4 else 0.0
    if _differ(_states(base), _states(backbone), max(_READ_BACK, rounding)):
        return "transformers would read back a model of other vectors"
    return None


def _changed_base(base: PreTrainedModel, name: str, files: Mapping[str, Any]) -> str | None:
    """Describe how a backbone without its adapter differs from the base that the adapter would be put on.

    The files of the base are mapped into memory, and their tensors compared in the dtype of the backbone.
    """
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with reading(name):
            there = type(base).from_pretrained(name, dtype="auto", **files)
    except ModelError as error:
        return f"its base cannot be read: {error}"
    finally:
        if shown:
            logging.enable_progress_bar()
    theirs, ours = vector_settings(there.config), vector_settings(base.config)
    for key in sorted({*theirs, *ours} - {"quantization_config"}):
        if theirs.get(key) != ours.get(key):
            values = f"{key}={theirs.get(key)}, and is on one with {key}={ours.get(key)}"
            return f"it would be put on a base with {values}"
    # Quantization rounds the weights beside it too.
    rounding = 2**-7 if getattr(base, "is_quantized", False) else 0.0
    held = {**dict(base.named_parameters(remove_duplicate=False)), **dict(base.named_buffers(remove_duplicate=False))}
    for key, value in there.state_dict().items():
        own = held.get(key)
        # Weights that are quantized in memory are not quantized in the file.
        if own is not None and (type(own) not in (Tensor, nn.Parameter) or not own.is_floating_point()):
            continue
        if own is None or own.shape != value.shape or not torch.allclose(own, value.to(own), rounding, 0.0):
            return f"it would be put on the base {name!r}, of which {key!r} has been changed in memory"
    return None


def _tensors(backbone: PreTrainedModel) -> Mapping[str, Tensor]:
    """Return all that decides an adapter, non-persistent buffers too, named as they are read back."""
    tensors = {**dict(backbone.named_parameters()), **dict(backbone.named_buffers()), **backbone.state_dict()}
    own = tuple(f"{name}." for name, _ in named_adapter_modules(backbone))
    return {name: tensor for name, tensor in tensors_as_saved(backbone, tensors).items() if name.startswith(own)}


def _states(backbone: PreTrainedModel) -> Tensor:
    """Return the states, in evaluation mode, of tokens from all over the vocabulary."""
    rows = int(backbone.config.get_text_config().vocab_size)
    device = next(backbone.get_input_embeddings().parameters()).device
    ids = torch.linspace(0, rows - 1, 48, device=device).long().reshape(2, 24)
    training = [module for module in backbone.modules() if module.training]
    backbone.eval()
    try:
        with torch.inference_mode():
            output = backbone(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, return_dict=True)
    finally:
        for module in training:
            module.training = True
    states: Tensor = output.last_hidden_state
    return states.float()


def _differ(one: Tensor, other: Tensor, share: float) -> bool:
    # Written so that NaN differs.
    return not bool((one - other).abs().max() <= share * other.abs().max())
