"""Prepare a backbone for servers: adapters merged, layers that the embedding does not need cut off."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from prompteol.compat import drop_final_norm
from prompteol.errors import ExportError
from prompteol.model import has_adapter, merged_backbone

# A norm keeps the direction of a state where it multiplies all entries by one number.
_SAME_DIRECTION = 1e-4


def backbone_to_export(backbone: PreTrainedModel, layer: int) -> tuple[PreTrainedModel, bool]:
    """Return the backbone whose last hidden state is the embedding, and whether that has the same length too.

    An adapter is merged, and behind ``layer`` everything is cut off. A final norm that the cut puts behind another
    layer is made to change lengths alone.

    Raises:
        ExportError: the weights are quantized or offloaded, or the final norm changes more than lengths.
    """
    if getattr(backbone, "is_quantized", False):
        raise ExportError(f"{type(backbone).__name__} is quantized: load the model without quantization_config")
    if any(parameter.is_meta for parameter in backbone.parameters()):
        raise ExportError("some weights are offloaded by device_map: load the model without it")
    if has_adapter(backbone):
        backbone = merged_backbone(backbone)
    return (backbone, True) if layer == -1 else _cut(backbone, layer)


def _cut(backbone: PreTrainedModel, layer: int) -> tuple[PreTrainedModel, bool]:
    config = backbone.config
    if config.get_text_config() is not config:
        raise _cannot_cut(backbone, layer, "its configuration is one of several parts")
    depth = int(config.num_hidden_layers)
    kept = depth + 1 + layer
    cut = _built(backbone, _shortened(config, depth, kept))
    norms = list(_final_norms(cut, kept))
    if not norms:
        return cut, True
    if drop_final_norm(cut.config):
        return _built(backbone, cut.config), True
    for norm in norms:
        if not _keeps_direction(norm):
            kind = type(norm).__name__
            raise _cannot_cut(backbone, layer, f"its final {kind} changes the direction of a state")
    return cut, False


def _cannot_cut(backbone: PreTrainedModel, layer: int, reason: str) -> ExportError:
    return ExportError(
        f"layer={layer}: {type(backbone).__name__} cannot be cut off there, because {reason}; export a model with "
        "layer=-1, or serve the saved model with sentence-transformers"
    )


def _shortened(config: PretrainedConfig, depth: int, kept: int) -> PretrainedConfig:
    """Return a configuration of fewer layers; a list of an entry a layer is cut too."""
    shorter = deepcopy(config)
    for name, value in vars(config).items():
        if isinstance(value, (list, tuple)) and len(value) == depth:
            setattr(shorter, name, value[:kept])
    shorter.num_hidden_layers = kept
    return shorter


def _built(backbone: PreTrainedModel, config: PretrainedConfig) -> PreTrainedModel:
    """Build a backbone of a configuration with the weights of another, which it shares."""
    with torch.device("meta"):
        made: PreTrainedModel = type(backbone)(config)
    theirs = backbone.state_dict()
    made.load_state_dict({name: theirs[name] for name in made.state_dict()}, assign=True)
    buffers = dict(backbone.named_buffers())
    # Those that are in no file, such as rotary frequencies.
    for name, _ in list(made.named_buffers()):
        parent, _, own = name.rpartition(".")
        setattr(made.get_submodule(parent), own, buffers[name])
    made.eval()
    return made


def _final_norms(backbone: PreTrainedModel, depth: int) -> Iterator[nn.Module]:
    """Yield the norms that stand beside the list of layers."""
    for module in backbone.modules():
        lists = [part for part in module.children() if isinstance(part, nn.ModuleList) and len(part) == depth]
        if lists:
            yield from (part for part in module.children() if "Norm" in type(part).__name__)


def _keeps_direction(norm: Any) -> bool:
    """Give a norm the weights by which it changes lengths alone, and return whether it then does."""
    weight = getattr(norm, "weight", None)
    if not isinstance(weight, nn.Parameter):
        return False
    states = torch.randn(4, weight.shape[-1], generator=torch.Generator().manual_seed(0)).to(weight) + 0.5
    for value in (1.0, 0.0):
        # Gemma's multiplies by one more than its weight.
        norm.weight = nn.Parameter(torch.full_like(weight, value), requires_grad=False)
        if getattr(norm, "bias", None) is not None:
            norm.bias = nn.Parameter(torch.zeros_like(norm.bias), requires_grad=False)
        with torch.inference_mode():
            cosine = nn.functional.cosine_similarity(norm(states).float(), states.float())
        if bool((1 - cosine < _SAME_DIRECTION).all()):
            return True
    return False
