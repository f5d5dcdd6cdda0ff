"""Build the loss of a recipe: InfoNCE or distillation, or one of the caller's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    EmbedDistillLoss,
    MultipleNegativesRankingLoss,
)
from sentence_transformers.util.distributed import all_gather_with_grad
from torch import Tensor, nn

from prompteol.errors import SettingError
from prompteol.sentence_transformers import PromptEOL
from prompteol.training.combining import fit_dimension
from prompteol.training.recipe import Recipe
from prompteol.training.teacher import Vectors

LossFactory: TypeAlias = Callable[[PromptEOL, "Vectors | None", Recipe], nn.Module]
"""Called with the model, the teacher's vectors in the model's dimension (``None`` without a teacher) and the recipe."""


def build_loss(
    model: PromptEOL,
    recipe: Recipe,
    vectors: Vectors | None,
    *,
    factory: LossFactory | None = None,
    queries: Sequence[int] = (),
    distributed: bool = False,
) -> nn.Module:
    """Return the loss that a recipe asks for, or that ``factory`` builds.

    ``vectors`` are a teacher's, by example, those of queries behind them; ``queries`` are as for
    :class:`DistillationLoss`.
    """
    if queries and distributed:
        raise SettingError("rows with a query are trained in one process: their number differs from batch to batch")
    targets, dimension = vectors, model.module.get_embedding_dimension()
    if vectors is not None and vectors.shape[1] != dimension:
        targets = fit_dimension(vectors, dimension, recipe.seed)
    if factory is not None:
        return factory(model, targets, recipe)
    if targets is None:
        return contrastive_loss(model, recipe, distributed=distributed)
    return DistillationLoss(model, targets, recipe, queries=queries, distributed=distributed)


def loss_name(factory: LossFactory | None) -> str | None:
    """Return what a caller's own loss is called, for the card and for the record of a training."""
    if factory is None:
        return None
    built: Any = getattr(factory, "func", factory)
    return str(getattr(built, "__name__", type(built).__name__))


def contrastive_loss(model: SentenceTransformer, recipe: Recipe, *, distributed: bool = False) -> nn.Module:
    """Return InfoNCE over in-batch and hard negatives (the paper's section 3.3).

    ``distributed`` takes the rows of all processes as negatives, as the authors do.
    """
    settings: dict[str, Any] = {"scale": 1 / recipe.temperature, "gather_across_devices": distributed}
    if recipe.mini_batch_size is None:
        return MultipleNegativesRankingLoss(model, **settings)
    return CachedMultipleNegativesRankingLoss(model, mini_batch_size=recipe.mini_batch_size, **settings)


class DistillationLoss(EmbedDistillLoss):
    """Add to the stock cosine loss the squared error of all cosines in a batch, student's against teacher's.

    ``targets`` are unit vectors of the student's dimension, a row for each label, and behind them one for each query:
    ``queries`` has the place of each label's among them, or -1. ``distributed`` compares with the rows of all
    processes.
    """

    def __init__(
        self,
        model: PromptEOL,
        targets: Vectors,
        recipe: Recipe,
        *,
        queries: Sequence[int] = (),
        distributed: bool = False,
    ) -> None:
        super().__init__(model, distance_metric="cosine")
        # On the CPU, in half the memory: only a batch of it goes to the device.
        self.targets = torch.from_numpy(np.asarray(targets, dtype=np.float16))
        self.queries = torch.tensor(queries)
        self.recipe = recipe
        self.distributed = distributed

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor | None) -> Tensor:
        """Return the loss of a batch: tokenized texts and the row of each one's target, and the queries of some."""
        if labels is None:
            raise SettingError("labels are missing; expected the row of each text's target")
        columns = list(sentence_features)
        students = [self.model(features)["sentence_embedding"] for features in columns]
        return self.compare(torch.cat(students), self.with_queries(labels) if len(columns) > 1 else labels)

    def with_queries(self, labels: Tensor) -> Tensor:
        """Return labels, and behind them the rows of the targets of their queries."""
        asked = self.queries[labels.cpu()]
        return torch.cat([labels.cpu(), len(self.queries) + asked[asked >= 0]])

    def compare(self, students: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of embeddings of shape (texts, dimension) against the targets of their labels."""
        teachers = self.target_rows(labels, students)
        loss: Tensor = self.compute_loss_from_embeddings([students], [teachers])
        if not self.recipe.similarity_weight:
            return loss
        error = nn.functional.mse_loss(self._cosines(students), self._cosines(teachers))
        return loss + self.recipe.similarity_weight * error

    def target_rows(self, labels: Tensor, like: Tensor) -> Tensor:
        """Return the targets of labels, on the device and in the dtype of another tensor."""
        return self.targets[labels.cpu()].to(like.device, like.dtype)

    def _cosines(self, vectors: Tensor) -> Tensor:
        """Compare each row of this process with the rows of all processes."""
        units = nn.functional.normalize(vectors, dim=-1)
        everyone: Tensor = all_gather_with_grad(units) if self.distributed else units
        return units @ everyone.T
