"""The backbone: finding a causal language model, loading it, choosing its layer, and its LM head."""

from prompteol.backbone.layers import layer_named, layer_read, read_from_layer, resolve_layer
from prompteol.backbone.load import LoadOptions, check_adapter, load_backbone, naming_the_adapter
from prompteol.backbone.placement import check_device, check_placement
from prompteol.backbone.positions import positions_in_table
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
    "check_adapter",
    "check_causal",
    "check_device",
    "check_placement",
    "find_source",
    "layer_named",
    "layer_read",
    "load_backbone",
    "naming_the_adapter",
    "positions_in_table",
    "read_from_layer",
    "resolve_layer",
    "tied_language_model",
]
