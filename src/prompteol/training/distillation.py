"""Distillation: the plain last state of the prompt is drawn to a teacher's vector."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from sentence_transformers.sentence_transformer.losses import EmbedDistillLoss
from sentence_transformers.util.distributed import all_gather_with_grad
from torch import Tensor, nn
from transformers import PreTrainedModel

from prompteol.data.training_examples import TrainingExamples
from prompteol.errors import SettingError
from prompteol.files import chunks
from prompteol.model import tied_language_model
from prompteol.sentence_transformers import PromptEOL
from prompteol.training.recipe import Recipe
from prompteol.training.teacher import Vectors

__all__ = ["DistillationLoss", "running_label", "running_rows"]

_TOGETHER = 64
# Texts that are tokenized at once.
_READ = 1000
# Of the softmax over words by cosine to the teacher's vector: nearly all weight on the nearest dozen.
_WORD_TEMPERATURE = 0.04


def running_rows(running_text: TrainingExamples, model: PromptEOL, tokens: int) -> list[Tensor]:
    """Return the ids of running text, letter for letter: no template is filled, so none normalizes it.

    Args:
        running_text: of which only the first tokens are taken, after BOS or what else the model's prompts begin with.
        model: whose tokenizer reads it, and whose ``max_seq_length`` is the most that a row may have.
        tokens: of a row at most, BOS apart.
    """
    tokenizer = model.tokenizer
    start = tokenizer(model.module.prompter.start.strip(), add_special_tokens=False)["input_ids"]
    longest = min(len(start) + tokens, model.max_seq_length or len(start) + tokens)
    return [
        torch.tensor([*start, *ids][:longest], dtype=torch.int32)
        for texts in chunks(running_text.columns["text"], _READ)
        for ids in tokenizer(texts, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
    ]


def running_label(row: int) -> int:
    """Return the label of a row of running text, and for a label the row: rows of the targets have those from 0 on."""
    return -1 - row


class DistillationLoss(EmbedDistillLoss):
    """The stock cosine loss towards a teacher, with three optional companions.

    They are the squared error between the cosines of all pairs in a batch, student's against teacher's; the
    cross-entropy of the next token, in running text that is mixed into the batch, or else in the batch's own prompts;
    and that of the word after the prompt, which shall be one that the teacher finds near the text.

    Args:
        model: the student.
        targets: unit vectors of the student's dimension, a row for each label.
        recipe: gives the weights of the companions.
        running: rows of running text, see :func:`running_rows`, which labels below zero ask for.
        words: for ``word_weight``: unit vectors like the targets, a row for each piece of the tokenizer, zero where a
            piece is no word.
        distributed: compare with the rows of all processes, which must have none of running text.
        precision: what the LM head multiplies in, ``None`` for that of the weights. The trainer's mixed precision ends
            where the model does, and the head is the greatest matrix of a small model.

    Raises:
        SettingError: ``language_weight`` or ``word_weight`` with a model whose LM head cannot be had, or whose
            embedding is not the last layer's.
    """

    def __init__(
        self,
        model: PromptEOL,
        targets: Vectors,
        recipe: Recipe,
        *,
        running: Sequence[Tensor] = (),
        words: Vectors | None = None,
        distributed: bool = False,
        precision: torch.dtype | None = None,
    ) -> None:
        super().__init__(model, distance_metric="cosine")
        # On the CPU, in half the memory: only a batch of it goes to the device.
        self.targets = torch.from_numpy(np.asarray(targets, dtype=np.float16))
        self.words = None if words is None else torch.from_numpy(np.asarray(words, dtype=np.float32))
        self.running = running
        self.recipe = recipe
        self.distributed = distributed
        self.precision = precision
        # In a list, because the head must not become one of the loss's own modules, which are trained and moved.
        self._head = [_output_head(model)] if recipe.language_weight or recipe.word_weight else []

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor | None) -> Tensor:
        """Return the loss of a batch.

        Args:
            sentence_features: one column of texts, tokenized.
            labels: the rows of the targets, of shape (texts); or :func:`running_label`, and then the text is not read.
        """
        (features,) = sentence_features
        if labels is None:
            raise SettingError("labels are missing; expected the row of each text's target")
        ids, mask = features["input_ids"], features["attention_mask"]
        running = labels < 0
        loss = torch.zeros((), device=ids.device, requires_grad=True)
        rows = [self.running[running_label(label)].to(ids) for label in labels[running].tolist()]
        # A lone token has none that comes next.
        rows = [row for row in rows if len(row) > 1]
        if rows:
            ones = nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
            _, surprise = self._run(nn.utils.rnn.pad_sequence(rows, batch_first=True), ones, speaking=True)
            loss = loss + self.recipe.language_weight * surprise
        if running.all():
            return loss
        speaking = bool(self.recipe.language_weight) and not running.any()
        students, surprise = self._run(ids[~running], mask[~running], speaking=speaking)
        teachers = self.targets[labels[~running].cpu()].to(students.device, students.dtype)
        loss = loss + self.compute_loss_from_embeddings([students], [teachers])
        if self.recipe.similarity_weight:
            error = nn.functional.mse_loss(self._cosines(students), self._cosines(teachers))
            loss = loss + self.recipe.similarity_weight * error
        if self.words is not None:
            loss = loss + self.recipe.word_weight * self._word_loss(students, teachers)
        return loss + self.recipe.language_weight * surprise if speaking else loss

    def _run(self, ids: Tensor, mask: Tensor, *, speaking: bool) -> tuple[Tensor, Tensor]:
        """Return embeddings and, where it is ``speaking``, the mean cross-entropy of the next token.

        Rows of like length run together: a short text waits for no long one.
        """
        lengths = mask.sum(dim=1)
        order = lengths.argsort()
        embeddings, total = [], torch.zeros((), device=ids.device)
        for rows in order.split(_alike(lengths[order].tolist())):
            longest = int(lengths[rows].max())
            output = self.model({"input_ids": ids[rows, :longest], "attention_mask": mask[rows, :longest]})
            embeddings.append(output["sentence_embedding"])
            if speaking:
                total = total + self._lm_loss(output)
        share = self._share(mask.sum() - len(mask)) if speaking else 0.0
        return torch.cat(embeddings)[order.argsort()], total * share

    def _share(self, tokens: Tensor) -> Tensor:
        """Return what a token weighs, so that the mean of all processes' losses is one over the tokens of all."""
        if not self.distributed:
            return 1 / tokens
        torch.distributed.all_reduce(tokens)
        return torch.distributed.get_world_size() / tokens

    def _word_loss(self, students: Tensor, teachers: Tensor) -> Tensor:
        """Return the cross-entropy of the word after the prompt, against how near the teacher finds each word."""
        assert self.words is not None
        words = self.words.to(students.device)
        near = (teachers.float() @ words.T / _WORD_TEMPERATURE).masked_fill(~words.any(dim=1), -torch.inf)
        return nn.functional.cross_entropy(self._logits(students), near.softmax(dim=-1))

    def _lm_loss(self, output: dict[str, Tensor]) -> Tensor:
        """Return the summed cross-entropy of all tokens but the first of each row."""
        states, ids, mask = (output[name] for name in ("token_embeddings", "input_ids", "attention_mask"))
        real = mask[:, 1:] > 0
        return nn.functional.cross_entropy(self._logits(states[:, :-1][real]), ids[:, 1:][real], reduction="sum")

    def _logits(self, states: Tensor) -> Tensor:
        (head,) = self._head
        with torch.autocast(states.device.type, self.precision, enabled=self.precision is not None):
            logits: Tensor = head(states)
        return logits.float()

    def _cosines(self, vectors: Tensor) -> Tensor:
        """Compare each row of this process with the rows of all."""
        units = nn.functional.normalize(vectors, dim=-1)
        everyone: Tensor = all_gather_with_grad(units) if self.distributed else units
        return units @ everyone.T


def _alike(lengths: Sequence[int]) -> list[int]:
    """Return how many rows run together, one lot after the other: none is more than twice as long as another."""
    lots: list[int] = []
    shortest = 0
    for length in lengths:
        if not lots or lots[-1] == _TOGETHER or length > 2 * shortest:
            lots.append(0)
            shortest = length
        lots[-1] += 1
    return lots


@torch.no_grad()
def _output_head(model: PromptEOL) -> nn.Module:
    """Return the LM head that is tied to the backbone, once it is proven to be all there is behind the last state."""
    backbone: PreTrainedModel = model.module.transformer.model
    why = None
    if model.layer != -1:
        why = f"the embedding is read from layer {model.layer}, the next token from the last"
    elif not backbone.config.get_text_config().tie_word_embeddings:
        why = "the LM head is not tied to the token embeddings, so a saved model would not have it"
    if why is None:
        language_model = tied_language_model(backbone)
        head: nn.Module = language_model.get_output_embeddings()
        probe = torch.arange(8, device=backbone.device)[None]
        states = backbone(probe).last_hidden_state
        if torch.allclose(head(states), language_model(probe).logits, atol=1e-4, rtol=1e-4):
            return head
        why = f"{type(language_model).__name__} does more than multiply by its head"
    raise SettingError(f"language_weight and word_weight: {why}; set them to 0")
