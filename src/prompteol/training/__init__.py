"""Train a causal language model to embed, by the paper's contrastive recipe, dropout alone or distillation."""

from prompteol.data.training_examples import TrainingExamples, read_examples
from prompteol.training.callbacks import Point, TrainingProgress, read_curve
from prompteol.training.combining import combine_teachers, fit_dimension
from prompteol.training.lora import Lora
from prompteol.training.losses import DistillationLoss, LossFactory, contrastive_loss
from prompteol.training.merge import Merged, merge
from prompteol.training.packing import packed_rows
from prompteol.training.recipe import Recipe
from prompteol.training.result import Training
from prompteol.training.teacher import teacher_vectors
from prompteol.training.train import train

__all__ = [
    "DistillationLoss", "Lora", "LossFactory", "Merged", "Point", "Recipe", "Training", "TrainingExamples",
    "TrainingProgress", "combine_teachers", "contrastive_loss", "fit_dimension", "merge", "packed_rows", "read_curve",
    "read_examples", "teacher_vectors", "train",
]  # fmt: skip
