"""Train a causal language model to embed, by the paper's contrastive recipe, dropout alone or distillation."""

from prompteol.data.training_examples import TrainingExamples, read_examples
from prompteol.training.callbacks import Point, TrainingProgress, read_curve
from prompteol.training.lora import Lora
from prompteol.training.losses import DistillationLoss, LossFactory, contrastive_loss
from prompteol.training.merge import Merged, merge
from prompteol.training.recipe import Recipe
from prompteol.training.result import Training
from prompteol.training.teacher import fit_dimension, teacher_vectors
from prompteol.training.train import train

__all__ = [
    "DistillationLoss", "Lora", "LossFactory", "Merged", "Point", "Recipe", "Training", "TrainingExamples",
    "TrainingProgress", "contrastive_loss", "fit_dimension", "merge", "read_curve", "read_examples", "teacher_vectors",
    "train",
]  # fmt: skip
