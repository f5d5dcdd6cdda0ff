"""Run a prompt over pairs: one pass of the shared-prefix engine, all layers read from it."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prompteol.data.scored_pairs import ScoredPairs
from prompteol.errors import NonFiniteError
from prompteol.inference import SharedPrefixEngine
from prompteol.prompts import PromptTask, PromptTemplate, RetrievalTemplate
from prompteol.tokenization import PromptTokenizer
from prompteol.tuning.scoring import Values, cosines, reciprocal_ranks

if TYPE_CHECKING:
    from prompteol.sentence_transformers import PromptEOL

__all__ = ["Cost", "Evaluator", "PromptScores"]

# What the engine runs both ways before it trusts a prefix, in prompts of average length; the longest is among them.
_CHECKED_ROWS = 14


@dataclass(frozen=True)
class PromptScores:
    """What a prompt gave for some pairs.

    Args:
        values: (layers, pairs): cosines, or reciprocal ranks where there are no human scores.
        tokens: computed for it, the engine's checks included.
    """

    values: Values
    tokens: int


@dataclass(frozen=True)
class Cost:
    """What a prompt costs, in tokens.

    Args:
        authors: in the authors' procedure: the whole prompt for both sentences of every pair. Padding not counted.
        a_pair: here, for both sentences of a pair.
        once: here, before the first pair: the prefix, and the engine's check.
    """

    authors: float
    a_pair: float
    once: float


class Evaluator:
    """Score prompts with the weights of a model, which stays as it is.

    Args:
        model: put into evaluation mode.
        pairs: in the order in which they will be asked for.
        layers: negative indices.
    """

    def __init__(self, model: PromptEOL, pairs: ScoredPairs, layers: Sequence[int]) -> None:
        self._model = model.eval()
        # Every prompt writes its chat template into the tokenizer it is given.
        self._tokenizer = deepcopy(model.tokenizer)
        self._engine = SharedPrefixEngine(model.module.transformer.model)
        self._limit = model.max_seq_length or 2**31
        self._pairs = pairs
        self._layers = tuple(layers)

    def judge(self, template: PromptTemplate | RetrievalTemplate, start: int, stop: int) -> PromptScores:
        """Return what a prompt gives for the pairs from ``start`` up to ``stop``.

        Raises:
            NonFiniteError: an embedding holds NaN or infinity.
            TemplateError: the prompt leaves no room for text, or fuses with it.
        """
        before = self._spent
        prompter = PromptTokenizer(self._tokenizer, template)
        first, second = self._sides(prompter, self._pairs.first[start:stop], self._pairs.second[start:stop])
        compare = cosines if self._pairs.labeled else reciprocal_ranks
        values = np.stack([compare(one, other) for one, other in zip(first, second, strict=True)])
        if not np.isfinite(values).all():
            raise NonFiniteError(
                f"with the prompt {str(template)!r} an embedding holds NaN or infinity: load the model in fp32 with "
                'model_kwargs={"dtype": "float32"}'
            )
        return PromptScores(values, self._spent - before)

    def cost(self, template: PromptTemplate | RetrievalTemplate) -> Cost:
        """Tell what a prompt costs before it runs.

        Every prompt has the text's tokens and its own; so the texts are tokenized once, and those of the prompt added.
        """
        prompter = PromptTokenizer(self._tokenizer, template)
        heads = [len(prompter.head(task)) for task in self._tasks(template)]
        tails = [len(prompter.tail(task)) for task in self._tasks(template)]
        after = self._text_tokens / len(self._pairs) + sum(tails)
        whole = sum(heads) + after
        return Cost(len(self._pairs) * whole, after, once=max(heads) + _CHECKED_ROWS * whole / 2)

    @cached_property
    def _text_tokens(self) -> int:
        """Tokens of all sentences, without any prompt."""
        plain = PromptTokenizer(self._tokenizer, self._model.template)
        rows = plain([*self._pairs.first, *self._pairs.second], max_length=self._limit)
        return sum(map(len, rows)) - len(rows) * (len(plain.head()) + len(plain.tail()))

    @property
    def _spent(self) -> int:
        counters = self._engine.counters
        return counters.prefix_tokens + counters.text_tokens + counters.stock_tokens + counters.check_tokens

    def _tasks(self, template: PromptTemplate | RetrievalTemplate) -> tuple[PromptTask | None, PromptTask | None]:
        """Anchors are queries and positives documents, where a template tells them apart."""
        pair = isinstance(template, RetrievalTemplate) and not self._pairs.labeled
        return ("query", "document") if pair else (None, None)

    def _sides(
        self, prompter: PromptTokenizer, first: Sequence[str], second: Sequence[str]
    ) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
        tasks = self._tasks(prompter.template)
        if tasks[0] == tasks[1]:
            both = self._vectors(prompter, [*first, *second], tasks[0])
            return [layer[: len(first)] for layer in both], [layer[len(first) :] for layer in both]
        return self._vectors(prompter, first, tasks[0]), self._vectors(prompter, second, tasks[1])

    @torch.inference_mode()
    def _vectors(
        self, prompter: PromptTokenizer, texts: Sequence[str], task: PromptTask | None
    ) -> list[NDArray[np.float32]]:
        """Return a (texts, dimension) array of length-1 rows for each layer."""
        rows = prompter(texts, task=task, max_length=self._limit)
        states = self._engine.layer_states(rows, self._layers, prefix=prompter.head(task))
        return [self._finish(state) for state in states]

    def _finish(self, states: Tensor) -> NDArray[np.float32]:
        """Do to states what the model does to them after its first module."""
        features = {"sentence_embedding": states}
        for module in list(self._model.children())[1:]:
            features = module(features)
        vectors = features["sentence_embedding"].float()[:, : self._model.truncate_dim]
        return torch.nn.functional.normalize(vectors, dim=1).cpu().numpy()
