"""Score candidate prompts on pairs: one forward pass with prefix caching, from which all layers are read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, count
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from prompteol.data.scored_pairs import ScoredPairs
from prompteol.errors import NonFiniteError
from prompteol.inference import SharedPrefixEngine
from prompteol.prompts import PROMPT_TASKS, TEMPLATES, Demonstration, RetrievalTemplate, resolve_template
from prompteol.tokenization import PromptTokenizer
from prompteol.tuning.scoring import Values, reciprocal_ranks, unit_cosines

if TYPE_CHECKING:
    from prompteol.prompts import PromptTask, Template
    from prompteol.sentence_transformers import PromptEOL

# Prompts of average length that the engine runs both ways to verify a prefix; the longest is among them.
_CHECKED_ROWS = 14


@dataclass(frozen=True)
class Candidate:
    """Hold a prompt to try."""

    name: str  # of the template: a preset's, or its wording, with its normalization where another has the same wording
    bare: Template  # without demonstrations
    demonstrations: tuple[Demonstration, ...] = ()  # in front of it, in order

    @cached_property
    def template(self) -> Template:
        """The whole prompt."""
        return self.bare.with_demonstrations(self.demonstrations)

    @cached_property
    def key(self) -> str:
        """Sixteen hex digits that name this prompt in a file of results."""
        return hashlib.sha256(repr(self.template).encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @property
    def demonstration_text(self) -> str:
        """The demonstrations in one line, or a dash."""
        return "; ".join(f"{one.sentence} => {one.word}" for one in self.demonstrations) or "-"

    def followed_by(self, demonstration: Demonstration) -> Candidate:
        """Return this prompt with one more demonstration, next to the text."""
        return Candidate(self.name, self.bare, (*self.demonstrations, demonstration))


def named_templates(own: Template, templates: Iterable[str | Template] | None) -> Mapping[str, Template]:
    """Return the templates to compare, without demonstrations, by name; ``None`` is the model's own."""
    resolved = [own] if templates is None else list(map(resolve_template, templates))
    presets = {template: name for name, template in TEMPLATES.items()}
    named: dict[str, Template] = {}
    for template in dict.fromkeys(one.with_demonstrations(()) for one in resolved):
        wording = presets.get(template, " | ".join(str(template).splitlines()))
        tasks = dict.fromkeys(template.for_task(task).normalization for task in PROMPT_TASKS)
        normalized = f"{wording} ({', '.join(tasks)})"
        names = chain((wording, normalized), (f"{normalized} {number}" for number in count(2)))
        named[next(name for name in names if name not in named)] = template
    return named


class PromptScores(NamedTuple):
    """Hold what a prompt gave for some pairs."""

    values: Values  # (layers, pairs): cosines, or reciprocal ranks where there are no human scores
    tokens: int  # computed for it, the engine's checks included


class Cost(NamedTuple):
    """Hold what a prompt costs, in tokens, without padding."""

    authors: float  # in the authors' procedure: the whole prompt for both sentences of every pair
    per_pair: float  # here, for both sentences of a pair
    once: float  # here, before the first pair: the prefix, and the engine's check


class Evaluator:
    """Score prompts with the weights of a model, which is put into evaluation mode and else stays as it is."""

    def __init__(self, model: PromptEOL, pairs: ScoredPairs, layers: Sequence[int]) -> None:
        self._model = model.eval()
        # Every prompt writes its chat template into the tokenizer it is given.
        self._tokenizer = deepcopy(model.tokenizer)
        self._engine = SharedPrefixEngine(model.module.transformer.model)
        self._limit = model.max_seq_length or 2**31
        self._pairs = pairs
        self._layers = tuple(layers)

    def score(self, template: Template, start: int, stop: int) -> PromptScores:
        """Return what a prompt gives for the pairs from ``start`` up to ``stop``."""
        before = self._tokens
        prompter = PromptTokenizer(self._tokenizer, template)
        first, second = self._pairs.first[start:stop], self._pairs.second[start:stop]
        query, document = self._tasks(template)
        if query == document:
            both = self._vectors(prompter, [*first, *second], query)
            sides = [(layer[: len(first)], layer[len(first) :]) for layer in both]
        else:
            one, other = self._vectors(prompter, first, query), self._vectors(prompter, second, document)
            sides = list(zip(one, other, strict=True))
        compare = unit_cosines if self._pairs.labeled else reciprocal_ranks
        values = np.stack([compare(left, right) for left, right in sides])
        if not np.isfinite(values).all():
            fix = 'load the model in fp32 with model_kwargs={"dtype": "float32"}'
            raise NonFiniteError(f"with the prompt {str(template)!r} an embedding holds NaN or infinity: {fix}")
        return PromptScores(values, self._tokens - before)

    def cost(self, template: Template) -> Cost:
        """Return what a prompt costs, before it runs."""
        prompter = PromptTokenizer(self._tokenizer, template)
        prefixes = [len(prompter.head(task)) for task in self._tasks(template)]
        suffixes = [len(prompter.tail(task)) for task in self._tasks(template)]
        after = self._text_tokens / len(self._pairs) + sum(suffixes)
        whole = sum(prefixes) + after
        return Cost(len(self._pairs) * whole, after, once=max(prefixes) + _CHECKED_ROWS * whole / 2)

    @cached_property
    def _text_tokens(self) -> int:
        """Tokens of all sentences, without any prompt; every prompt adds its own to them."""
        plain = PromptTokenizer(self._tokenizer, self._model.template)
        rows = plain([*self._pairs.first, *self._pairs.second], max_length=self._limit)
        return sum(map(len, rows)) - len(rows) * (len(plain.head()) + len(plain.tail()))

    @property
    def _tokens(self) -> int:
        counters = self._engine.counters
        return counters.prefix_tokens + counters.text_tokens + counters.stock_tokens + counters.check_tokens

    def _tasks(self, template: Template) -> tuple[PromptTask | None, PromptTask | None]:
        """Anchors are queries and positives documents, where a template tells them apart."""
        pair = isinstance(template, RetrievalTemplate) and not self._pairs.labeled
        return ("query", "document") if pair else (None, None)

    @torch.inference_mode()
    def _vectors(
        self, prompter: PromptTokenizer, texts: Sequence[str], task: PromptTask | None
    ) -> list[NDArray[np.float32]]:
        """Return a (texts, dimension) array of unit vectors for each layer, after the model's later modules."""
        rows = prompter(texts, task=task, max_length=self._limit)
        vectors = []
        for states in self._engine.layer_states(rows, self._layers, prefix=prompter.head(task)):
            features = {"sentence_embedding": states}
            for module in list(self._model.children())[1:]:
                features = module(features)
            truncated = features["sentence_embedding"].float()[:, : self._model.truncate_dim]
            vectors.append(torch.nn.functional.normalize(truncated, dim=1).cpu().numpy())
        return vectors
