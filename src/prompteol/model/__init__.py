"""Find and load a causal language model, put adapters on it, choose its layer, and use its LM head."""

from prompteol.model.adapter_loading import naming_the_adapter, set_adapter_weights
from prompteol.model.adapter_saving import merged_backbone, portable_transformer
from prompteol.model.adapter_state import adapter_settings, has_adapter, own_module, tensors_as_saved
from prompteol.model.backbone import LoadOptions, check_device, load_backbone
from prompteol.model.layers import layer_named, resolve_layer
from prompteol.model.source import (
    ModelSource,
    backbone_of,
    check_causal,
    find_source,
    reading,
    vector_settings,
)
from prompteol.model.words import LanguageModelHead, Word, tied_language_model

__all__ = [
    "LanguageModelHead",
    "LoadOptions",
    "ModelSource",
    "Word",
    "adapter_settings",
    "backbone_of",
    "check_causal",
    "check_device",
    "find_source",
    "has_adapter",
    "layer_named",
    "load_backbone",
    "merged_backbone",
    "naming_the_adapter",
    "own_module",
    "portable_transformer",
    "reading",
    "resolve_layer",
    "set_adapter_weights",
    "tensors_as_saved",
    "tied_language_model",
    "vector_settings",
]
