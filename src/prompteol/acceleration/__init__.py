"""Run any sentence-transformers model of last-token or mean pooling, and rerankers, by the packed forward."""

from prompteol.acceleration.accelerate import accelerate, restore

__all__ = ["accelerate", "restore"]
