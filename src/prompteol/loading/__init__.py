"""Load a base model, an adapter or a saved model, or describe one without its weights."""

from prompteol.loading.assembly import LoadedModel, load_model
from prompteol.loading.finding import Found, PromptConfig, embedded_model, find_parts
from prompteol.loading.overview import ModelInfo, embedding_form, model_info

__all__ = [
    "Found",
    "LoadedModel",
    "ModelInfo",
    "PromptConfig",
    "embedded_model",
    "embedding_form",
    "find_parts",
    "load_model",
    "model_info",
]
