"""The backbone: finding a causal language model, loading it, choosing its layer, and its LM head."""

from prompteol.backbone.adapters import naming_the_adapter, set_adapter_weights
from prompteol.backbone.layers import layer_named, layer_read, read_from_layer, resolve_layer
from prompteol.backbone.load import LoadOptions, load_backbone
from prompteol.backbone.merged import has_adapter, merged_backbone
from prompteol.backbone.placement import check_device, check_placement
from prompteol.backbone.portable_adapter import portable_transformer
from prompteol.backbone.positions import positions_in_table
from prompteol.backbone.reading import reading
from prompteol.backbone.source import ADAPTER, MANIFEST, Source, backbone_of, check_causal, find_source
from prompteol.backbone.words import LanguageModelHead, Word, tied_language_model

__all__ = [
    "ADAPTER",
    "MANIFEST",
    "LanguageModelHead",
    "LoadOptions",
    "Source",
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
