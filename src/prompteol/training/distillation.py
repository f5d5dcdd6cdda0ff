"""Distill a teacher: draw the hidden state behind the prompt to the teacher's vector."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from sentence_transformers.sentence_transformer.losses import EmbedDistillLoss
from sentence_transformers.util.distributed import all_gather_with_grad
from torch import Tensor, nn

from prompteol.errors import SettingError
from prompteol.sentence_transformers import PromptEOL
from prompteol.training.recipe import Recipe
from prompteol.training.teacher import Vectors

__all__ = ["DistillationLoss"]


class DistillationLoss(EmbedDistillLoss):
    """Add to the stock cosine loss the squared error of all cosines in a batch, student's against teacher's.

    Args:
        model: the student.
        targets: unit vectors of the student's dimension, a row for each label.
        recipe: gives ``similarity_weight``.
        distributed: compare with the rows of all processes.
    """

    def __init__(self, model: PromptEOL, targets: Vectors, recipe: Recipe, *, distributed: bool = False) -> None:
        super().__init__(model, distance_metric="cosine")
        # On the CPU, in half the memory: only a batch of it goes to the device.
        self.targets = torch.from_numpy(np.asarray(targets, dtype=np.float16))
        self.recipe = recipe
        self.distributed = distributed

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor | None) -> Tensor:
        """Return the loss of a batch.

        Args:
            sentence_features: one column of texts, tokenized.
            labels: the rows of the targets, of shape (texts).
        """
        (features,) = sentence_features
        if labels is None:
            raise SettingError("labels are missing; expected the row of each text's target")
        return self.compare(self.model(features)["sentence_embedding"], labels)

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
