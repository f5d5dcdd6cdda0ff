"""Train a causal language model to embed: the paper's contrastive recipe, dropout, distillation."""

from prompteol.data.training_examples import TrainingExamples, read_examples
from prompteol.plots.training import plot_curve
from prompteol.training.curve import Point, TrainingProgress, read_curve
from prompteol.training.distillation import DistillationLoss
from prompteol.training.losses import contrastive_loss
from prompteol.training.merge import Merged, merge
from prompteol.training.recipe import Lora, Recipe
from prompteol.training.teacher import fit_dimension, teacher_vectors
from prompteol.training.train import Training, train

__all__ = [
    "DistillationLoss",
    "Lora",
    "Merged",
    "Point",
    "Recipe",
    "Training",
    "TrainingExamples",
    "TrainingProgress",
    "contrastive_loss",
    "fit_dimension",
    "merge",
    "plot_curve",
    "read_curve",
    "read_examples",
    "teacher_vectors",
    "train",
]
