"""Offer techniques of the literature as configurations, and register those of others."""

from prompteol.techniques.ensembles import MetaEOL, PromptEnsemble
from prompteol.techniques.protocol import ForwardTechnique, LinearMap, Readout, Technique
from prompteol.techniques.readouts import AllButTheTop, Centering, EmbedFilter, Whitening
from prompteol.techniques.registry import TECHNIQUES, register_technique

__all__ = [
    "TECHNIQUES", "AllButTheTop", "Centering", "EmbedFilter", "ForwardTechnique", "LinearMap", "MetaEOL",
    "PromptEnsemble", "Readout", "Technique", "Whitening", "register_technique",
]  # fmt: skip
