"""The backbone: finding a causal language model, loading it, choosing its layer, and its LM head."""

from prompteol.model.adapter_loading import naming_the_adapter, set_adapter_weights
from prompteol.model.backbone import LoadOptions, load_backbone
from prompteol.model.file_errors import reading
from prompteol.model.layers import layer_named, layer_read, read_from_layer, resolve_layer
from prompteol.model.merged_adapter import has_adapter, merged_backbone
from prompteol.model.placement import check_device, check_placement
from prompteol.model.portable_adapter import portable_transformer
from prompteol.model.positions import positions_in_table
from prompteol.model.source import ADAPTER, MANIFEST, ModelSource, backbone_of, check_causal, find_source
from prompteol.model.words import LanguageModelHead, Word, tied_language_model

__all__ = [
    "ADAPTER",
    "MANIFEST",
    "LanguageModelHead",
    "LoadOptions",
    "ModelSource",
    "Word",
    "backbone_of",
    "check_causal",
    "check_device",
    "check_placement",
    "find_source",
    "has_adapter",
    "layer_named",
    "layer_read",
    "load_backbone",
    "merged_backbone",
    "naming_the_adapter",
    "portable_transformer",
    "positions_in_table",
    "read_from_layer",
    "reading",
    "resolve_layer",
    "set_adapter_weights",
    "tied_language_model",
]
