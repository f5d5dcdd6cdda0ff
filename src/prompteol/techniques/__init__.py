"""Offer techniques of the literature as configurations, one folder each, and register those of others."""

from prompteol.techniques.all_but_the_top import AllButTheTop
from prompteol.techniques.centering import Centering
from prompteol.techniques.embed_filter import EmbedFilter
from prompteol.techniques.metaeol import MetaEOL
from prompteol.techniques.prompt_ensemble import PromptEnsemble
from prompteol.techniques.protocol import FitInputs, ForwardTechnique, LinearMap, Readout, Technique
from prompteol.techniques.registry import (
    TECHNIQUES,
    describe_technique,
    from_record,
    register_technique,
    resolve_techniques,
    split_techniques,
    to_record,
)
from prompteol.techniques.token_prepending import TokenPrepending
from prompteol.techniques.whitening import Whitening

__all__ = [
    "TECHNIQUES",
    "AllButTheTop",
    "Centering",
    "EmbedFilter",
    "FitInputs",
    "ForwardTechnique",
    "LinearMap",
    "MetaEOL",
    "PromptEnsemble",
    "Readout",
    "Technique",
    "TokenPrepending",
    "Whitening",
    "describe_technique",
    "from_record",
    "register_technique",
    "resolve_techniques",
    "split_techniques",
    "to_record",
]
