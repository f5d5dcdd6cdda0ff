"""Load a base model, an adapter or a saved model, or describe one without its weights."""

from prompteol.loading.assembly import load_model
from prompteol.loading.finding import Found, embedded_model, find_parts
from prompteol.loading.overview import ModelInfo, model_info
from prompteol.loading.parts import LoadedModel, PromptConfig

__all__ = [
    "Found",
    "LoadedModel",
    "ModelInfo",
    "PromptConfig",
    "embedded_model",
    "find_parts",
    "load_model",
    "model_info",
]
