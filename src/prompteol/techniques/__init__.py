"""Offer techniques of the literature as configurations, and register those of others."""

from prompteol.techniques.aligned_wva import AlignedWVA
from prompteol.techniques.contrastive_prompting import ContrastivePrompting
from prompteol.techniques.echo import Echo
from prompteol.techniques.ensembles import MetaEOL, PromptEnsemble
from prompteol.techniques.kv_embedding import KVEmbedding
from prompteol.techniques.moee import MoEE
from prompteol.techniques.protocol import ForwardTechnique, LinearMap, Readout, Technique
from prompteol.techniques.readouts import AllButTheTop, Centering, EmbedFilter, Whitening
from prompteol.techniques.registry import TECHNIQUES, register_technique
from prompteol.techniques.token_prepending import TokenPrepending

__all__ = [
    "TECHNIQUES", "AlignedWVA", "AllButTheTop", "Centering", "ContrastivePrompting", "Echo", "EmbedFilter",
    "ForwardTechnique", "KVEmbedding", "LinearMap", "MetaEOL", "MoEE", "PromptEnsemble", "Readout", "Technique",
    "TokenPrepending", "Whitening", "register_technique",
]  # fmt: skip
