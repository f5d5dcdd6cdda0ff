"""The backbone: finding a causal language model, loading it, choosing its layer, and its LM head."""

from prompteol.backbone.layers import layer_read, read_from_layer, resolve_layer
from prompteol.backbone.load import LoadOptions, load_backbone
from prompteol.backbone.source import MANIFEST, Source, backbone_of, check_causal, find_source
from prompteol.backbone.words import LanguageModelHead, Word

__all__ = [
    "MANIFEST",
    "LanguageModelHead",
    "LoadOptions",
    "Source",
    "Word",
    "backbone_of",
    "check_causal",
    "find_source",
    "layer_read",
    "load_backbone",
    "read_from_layer",
    "resolve_layer",
]
