"""Distill a teacher and stay a language model: add the next token's loss and that of the word after the prompt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from prompteol import PromptEOL
from prompteol.errors import SettingError
from prompteol.model import tied_language_model
from prompteol.training import DistillationLoss, Recipe

# Rows that run together at most, and texts that are tokenized at once.
_TOGETHER, _READ = 64, 1000
# The temperature of the softmax over words by cosine to the teacher's vector: nearly all weight is on a dozen words.
_WORD_TEMPERATURE = 0.04


def running_rows(texts: Sequence[str], model: PromptEOL, tokens: int) -> list[Tensor]:
    """Return the token ids of running text as it stands: no template is filled, so none normalizes it.

    Args:
        texts: texts whose first tokens are taken, after BOS or what else the model's prompts begin with.
        model: the model that gives the tokenizer, and whose ``max_seq_length`` limits a row.
        tokens: the most tokens of a row, without BOS.
    """
    tokenizer = model.tokenizer
    start = tokenizer(model.module.prompter.start.strip(), add_special_tokens=False)["input_ids"]
    longest = min(len(start) + tokens, model.max_seq_length or len(start) + tokens)
    return [
        torch.tensor([*start, *ids][:longest], dtype=torch.int32)
        for first in range(0, len(texts), _READ)
        for ids in tokenizer(
            list(texts[first : first + _READ]), add_special_tokens=False, truncation=False, verbose=False
        )["input_ids"]
    ]


class LanguageDistillationLoss(DistillationLoss):
    """Add two losses to distillation, for one process.

    They are the cross-entropy of the next token, in running text that is mixed into the batch, or else in the batch's
    own prompts; and that of the word after the prompt, which shall be one that the teacher finds near the text.

    Args:
        model: the student.
        targets: unit vectors of the student's dimension, a row for each label; the last ones, one for each row of
            running text, are not read. Behind them one for each query.
        recipe: as for :class:`DistillationLoss`.
        queries: as for :class:`DistillationLoss`; running text has none.
        running: rows of running text, see :func:`running_rows`.
        words: unit vectors like the targets, a row for each piece of the tokenizer, zero where a piece is no word.
        language_weight: the weight of the next token's loss.
        word_weight: the weight of the loss of the word after the prompt.
        precision: what the LM head multiplies in, ``None`` for that of the weights. The trainer's mixed precision ends
            where the model does, and the head is the greatest matrix of a small model.

    Raises:
        SettingError: the LM head of the model is not tied, or its embedding is not the last layer's.
    """

    def __init__(
        self,
        model: PromptEOL,
        targets: np.ndarray,
        recipe: Recipe,
        *,
        queries: Sequence[int] = (),
        running: Sequence[Tensor] = (),
        words: np.ndarray | None = None,
        language_weight: float = 0.0,
        word_weight: float = 0.0,
        precision: torch.dtype | None = None,
    ) -> None:
        super().__init__(model, targets, recipe, queries=queries)
        self.words = None if words is None else torch.from_numpy(np.asarray(words, dtype=np.float32))
        self.running = running
        self.language_weight, self.word_weight = language_weight, word_weight
        self.precision = precision
        # In a list, because the head must not become one of the loss's own modules, which are trained and moved.
        self._head = [output_head(model)] if language_weight or word_weight else []

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor | None) -> Tensor:
        """Return the loss of a batch; of a label of running text, the text in the batch is not read."""
        features, *asking = sentence_features
        if labels is None:
            raise SettingError("labels are missing; expected the row of each text's target")
        ids, mask = features["input_ids"], features["attention_mask"]
        first = (len(self.queries) or len(self.targets)) - len(self.running)
        running = labels >= first
        loss = torch.zeros((), device=ids.device, requires_grad=True)
        rows = [self.running[label - first].to(ids) for label in labels[running].tolist()]
        # A lone token has none that comes next.
        rows = [row for row in rows if len(row) > 1]
        if rows:
            ones = nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
            _, lm_loss = self._run(nn.utils.rnn.pad_sequence(rows, batch_first=True), ones, with_lm_loss=True)
            loss = loss + self.language_weight * lm_loss
        if running.all():
            return loss
        with_lm_loss = bool(self.language_weight) and not running.any()
        students, lm_loss = self._run(ids[~running], mask[~running], with_lm_loss=with_lm_loss)
        labels = labels[~running]
        if asking:
            of_queries, _ = self._run(asking[0]["input_ids"], asking[0]["attention_mask"], with_lm_loss=False)
            students, labels = torch.cat([students, of_queries]), self.with_queries(labels)
        loss = loss + self.compare(students, labels)
        if self.words is not None:
            loss = loss + self.word_weight * self._word_loss(students, self.target_rows(labels, students))
        return loss + self.language_weight * lm_loss

    def _run(self, ids: Tensor, mask: Tensor, *, with_lm_loss: bool) -> tuple[Tensor, Tensor]:
        """Return embeddings and, if asked, the mean cross-entropy of the next token.

        Rows of like length run together: a short text waits for no long one.
        """
        lengths = mask.sum(dim=1)
        order = lengths.argsort()
        embeddings, total = [], torch.zeros((), device=ids.device)
        for rows in order.split(_batch_sizes(lengths[order].tolist())):
            longest = int(lengths[rows].max())
            output = self.model({"input_ids": ids[rows, :longest], "attention_mask": mask[rows, :longest]})
            embeddings.append(output["sentence_embedding"])
            if with_lm_loss:
                total = total + self._lm_loss(output)
        return torch.cat(embeddings)[order.argsort()], total / (mask.sum() - len(mask)).clamp_min(1)

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


def _batch_sizes(lengths: Sequence[int]) -> list[int]:
    """Return how many rows run together, one batch after the other: none is more than twice as long as another."""
    sizes: list[int] = []
    shortest = 0
    for length in lengths:
        if not sizes or sizes[-1] == _TOGETHER or length > 2 * shortest:
            sizes.append(0)
            shortest = length
        sizes[-1] += 1
    return sizes


@torch.no_grad()
def output_head(model: PromptEOL) -> nn.Module:
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
