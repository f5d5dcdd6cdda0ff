"""Build the loss of a recipe: InfoNCE or distillation, or one of the caller's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MultipleNegativesRankingLoss,
)
from torch import nn

from prompteol.sentence_transformers import PromptEOL
from prompteol.training.distillation import DistillationLoss
from prompteol.training.recipe import Recipe
from prompteol.training.teacher import Vectors, fit_dimension

__all__ = ["LossFactory", "build_loss", "contrastive_loss", "loss_name"]

LossFactory: TypeAlias = Callable[[PromptEOL, "Vectors | None", Recipe], nn.Module]
"""Called with the model, the teacher's vectors in the model's dimension (``None`` without a teacher) and the recipe."""


def build_loss(
    model: PromptEOL,
    recipe: Recipe,
    vectors: Vectors | None,
    *,
    factory: LossFactory | None = None,
    distributed: bool = False,
) -> nn.Module:
    """Return the loss that a recipe asks for.

    Args:
        model: to train.
        recipe: to follow.
        vectors: of a teacher, a row for each example.
        factory: builds another loss in its place.
        distributed: whether several processes share a batch.
    """
    targets, dimension = vectors, model.module.get_embedding_dimension()
    if vectors is not None and vectors.shape[1] != dimension:
        targets = fit_dimension(vectors, dimension, recipe.seed)
    if factory is not None:
        return factory(model, targets, recipe)
    if targets is None:
        return contrastive_loss(model, recipe, distributed=distributed)
    return DistillationLoss(model, targets, recipe, distributed=distributed)


def contrastive_loss(model: SentenceTransformer, recipe: Recipe, *, distributed: bool = False) -> nn.Module:
    """Return InfoNCE over in-batch and hard negatives (the paper's section 3.3).

    Args:
        model: to train.
        recipe: gives the temperature, and the mini-batch that has gradients cached.
        distributed: take the rows of all processes as negatives, as the authors do.
    """
    settings: dict[str, Any] = {"scale": 1 / recipe.temperature, "gather_across_devices": distributed}
    if recipe.mini_batch_size is None:
        return MultipleNegativesRankingLoss(model, **settings)
    return CachedMultipleNegativesRankingLoss(model, mini_batch_size=recipe.mini_batch_size, **settings)


def loss_name(factory: LossFactory | None) -> str | None:
    """Return what a caller's own loss is called, for the card and for the record of a training."""
    if factory is None:
        return None
    built: Any = getattr(factory, "func", factory)
    return str(getattr(built, "__name__", type(built).__name__))
