"""Score candidates on pairs: one forward pass with prefix caching, from which all layers are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from sentence_transformers.base.modules import Transformer
from torch import Tensor

from prompteol.data.scored_pairs import ScoredPairs
from prompteol.errors import NonFiniteError
from prompteol.inference import SharedPrefixEngine
from prompteol.inference.reference_forward import reference_states, sharing_copy
from prompteol.prompts import RetrievalTemplate
from prompteol.tokenization import PromptTokenizer
from prompteol.tuning.candidates import Candidate, Cost, total_cost
from prompteol.tuning.every_layer import TechniqueForward
from prompteol.tuning.readouts import ReadoutFitter
from prompteol.tuning.scoring import Values, reciprocal_ranks, score, unit_cosines

if TYPE_CHECKING:
    from prompteol.prompts import PromptTask, Template
    from prompteol.sentence_transformers import PromptEOL

# Layers of a prompt that read-outs are fitted at: those where it does best without, and the last one.
_FITTED_LAYERS = 3


class VectorRead(NamedTuple):
    """Name how a vector is read from a pass: at a layer, as it is or through a read-out."""

    layer: int  # a negative index
    readout: str = ""  # as ``--technique`` takes it
    dimension: int = 0


class PromptScores(NamedTuple):
    """Hold what a candidate gave for some pairs."""

    values: Values  # (reads, pairs): cosines, or reciprocal ranks where there are no human scores
    tokens: int  # computed for it, the engine's checks of prompts alone included
    reads: tuple[VectorRead, ...]  # every layer as it is, then those through a read-out


class Evaluator:
    """Score candidates with the weights of a model, which is put into evaluation mode and else stays as it is.

    Whoever asks for all pairs at once gets the read-outs, too.
    """

    def __init__(
        self, model: PromptEOL, pairs: ScoredPairs, layers: Sequence[int], fitter: ReadoutFitter | None = None
    ) -> None:
        self._model = model.eval()
        # Every prompt writes its chat template into the tokenizer it is given.
        self._tokenizer = deepcopy(model.tokenizer)
        self._engine = SharedPrefixEngine(model.module.transformer.model)
        self._limit = model.max_seq_length or 2**31
        self._pairs = pairs
        self._layers = tuple(layers)
        self._fitter = fitter
        self._forwards: dict[Candidate, list[tuple[list[int], TechniqueForward]]] = {}
        self._sizes: dict[Template, tuple[int, int]] = {}

    @property
    def readouts(self) -> str:
        """What names the read-outs that a candidate gets once it is scored on all pairs at once; ``""`` for none."""
        return "" if self._fitter is None else self._fitter.key

    @torch.inference_mode()
    def score(self, candidate: Candidate, start: int, stop: int) -> PromptScores:
        """Return what a candidate gives for the pairs from ``start`` up to ``stop``."""
        first, second = self._pairs.first[start:stop], self._pairs.second[start:stop]
        query, document = self._tasks(candidate.template)
        if query == document:
            both, tokens = self._vectors(candidate, [*first, *second], query)
            sides = [(layer[: len(first)], layer[len(first) :]) for layer in both]
        else:
            one, tokens_of_one = self._vectors(candidate, first, query)
            other, tokens_of_other = self._vectors(candidate, second, document)
            sides, tokens = list(zip(one, other, strict=True)), tokens_of_one + tokens_of_other
        widths = [self._cut(left).shape[1] for left, _ in sides]
        reads = [VectorRead(layer, "", width) for layer, width in zip(self._layers, widths, strict=True)]
        values = [self._compare(left, right, first) for left, right in sides]
        if self._fitter is not None and (start, stop) == (0, len(self._pairs)):
            tokens += self._read_out(self._fitter, candidate, sides, reads, values)
        found = np.stack(values)
        if not np.isfinite(found).all():
            prompt, fix = str(candidate.template), 'load the model in fp32 with model_kwargs={"dtype": "float32"}'
            raise NonFiniteError(f"with the prompt {prompt!r} an embedding holds NaN or infinity: {fix}")
        return PromptScores(found, tokens, tuple(reads))

    def check(self, candidate: Candidate) -> None:
        """Raise what a technique that does not fit this model raises."""
        self._technique_forwards(candidate)

    def leaves_room(self, candidate: Candidate) -> bool:
        """Tell whether the prompts of a candidate leave room for text within the model's longest input."""
        return all(self._longest(prompt) + 1 < self._limit for prompt in candidate.prompts)

    def cost(self, candidate: Candidate) -> Cost:
        """Return what a candidate costs, before it runs."""
        sizes = [self._size(prompt) for prompt in candidate.prompts]
        return total_cost(sizes, self._text_tokens / len(self._pairs), len(self._pairs))

    def _read_out(
        self,
        fitter: ReadoutFitter,
        candidate: Candidate,
        sides: Sequence[tuple[Tensor, Tensor]],
        reads: list[VectorRead],
        values: list[Values],
    ) -> int:
        """Add what each read-out gives at the best layers, from the states at hand; return tokens computed for it."""
        gold = self._pairs.scores
        ranked = sorted(range(len(sides)), key=lambda place: -score(values[place], gold))
        places = ranked if fitter.everywhere else dict.fromkeys([*ranked[:_FITTED_LAYERS], len(sides) - 1])
        tokens, given = 0, None
        if fitter.texts is not None:
            given, tokens = self._vectors(candidate, fitter.texts, None)
        texts, rows = self.fit_texts(candidate.template), list(self._places(candidate.template).values())
        documents = self._tasks(candidate.template)[1] is not None
        for name in fitter.readouts:
            for place in sorted(places):
                left, right = sides[place]
                own = right if documents else torch.cat([left, right])
                fitted = fitter.fit(name, texts, own[rows] if given is None else given[place])
                if fitted is not None:
                    left, right = (fitted(side.float().cpu()) for side in (left, right))
                    reads.append(VectorRead(self._layers[place], name, self._cut(left).shape[1]))
                    values.append(self._compare(left, right, self._pairs.first))
        return tokens

    def fit_texts(self, template: Template) -> list[str]:
        """Return what read-outs behind a prompt are fitted on: the texts given, or the pairs' own, each once."""
        if self._fitter is not None and self._fitter.texts is not None:
            return self._fitter.texts
        return list(self._places(template))

    def _places(self, template: Template) -> dict[str, int]:
        """Return where each sentence of the pairs comes first; of a pair of templates, as documents alone."""
        documents = self._tasks(template)[1] is not None
        sentences = self._pairs.second if documents else [*self._pairs.first, *self._pairs.second]
        return {text: row for row, text in reversed(list(enumerate(sentences)))}

    def _compare(self, left: Tensor, right: Tensor, anchors: Sequence[str]) -> Values:
        one, other = (
            torch.nn.functional.normalize(self._cut(side).float(), dim=1).cpu().numpy() for side in (left, right)
        )
        return unit_cosines(one, other) if self._pairs.labeled else reciprocal_ranks(one, other, anchors)

    def _cut(self, vectors: Tensor) -> Tensor:
        return vectors[:, : self._model.truncate_dim]

    @cached_property
    def _text_tokens(self) -> int:
        """Tokens of all sentences, without any prompt; every prompt adds its own to them."""
        plain = PromptTokenizer(self._tokenizer, self._model.template)
        rows = plain([*self._pairs.first, *self._pairs.second], max_length=self._limit)
        return sum(map(len, rows)) - len(rows) * (len(plain.head()) + len(plain.tail()))

    def _size(self, template: Template) -> tuple[int, int]:
        """Return the tokens of a template's heads and of its tails, for both texts of a pair."""
        if template not in self._sizes:
            prompter, tasks = PromptTokenizer(self._tokenizer, template), self._tasks(template)
            heads, tails = (sum(len(part(task)) for task in tasks) for part in (prompter.head, prompter.tail))
            self._sizes[template] = heads, tails
        return self._sizes[template]

    def _longest(self, template: Template) -> int:
        prompter = PromptTokenizer(self._tokenizer, template)
        return max(len(prompter.head(task)) + len(prompter.tail(task)) for task in self._tasks(template))

    def _tasks(self, template: Template) -> tuple[PromptTask | None, PromptTask | None]:
        """Anchors are queries and positives documents, where a template tells them apart."""
        pair = isinstance(template, RetrievalTemplate) and not self._pairs.labeled
        return ("query", "document") if pair else (None, None)

    def _vectors(self, candidate: Candidate, texts: Sequence[str], task: PromptTask | None) -> tuple[list[Tensor], int]:
        """Return each layer's vectors, (texts, dimension), behind the model's later modules, and tokens computed."""
        if candidate.technique is None:
            before = self._engine_tokens
            prompter = PromptTokenizer(self._tokenizer, candidate.template)
            rows = prompter(texts, task=task, max_length=self._limit)
            states = self._engine.layer_states(rows, self._layers, prefix=prompter.head(task))
            tokens = self._engine_tokens - before
        else:
            by_layer: dict[int, Tensor] = {}
            tokens = 0
            for layers, forward in self._technique_forwards(candidate):
                found, computed = forward(texts, task)
                by_layer.update(zip(layers, found, strict=True))
                tokens += computed
            states = [by_layer[layer] for layer in self._layers]
        vectors = []
        for one in states:
            features = {"sentence_embedding": one}
            for module in list(self._model.children())[1:]:
                features = module(features)
            vectors.append(features["sentence_embedding"])
        return vectors, tokens

    @property
    def _engine_tokens(self) -> int:
        counters = self._engine.counters
        return counters.prefix_tokens + counters.text_tokens + counters.stock_tokens + counters.check_tokens

    def _technique_forwards(self, candidate: Candidate) -> list[tuple[list[int], TechniqueForward]]:
        """Return what embeds by the technique, for the layers of each width: OPT-350m's last one is narrower."""
        if candidate not in self._forwards:
            engine, technique = self._model.module.engine, candidate.technique
            self._forwards[candidate] = [
                (layers, TechniqueForward(self._transformer, candidate.template, technique, layers, engine))
                for layers in self._by_width.values()
                if technique is not None
            ]
        return self._forwards[candidate]

    @cached_property
    def _by_width(self) -> Mapping[int, list[int]]:
        states = reference_states(self._model.module.transformer.model, [[0]], self._layers)
        widths: dict[int, list[int]] = {}
        for layer, one in zip(self._layers, states, strict=True):
            widths.setdefault(one.shape[1], []).append(layer)
        return widths

    @cached_property
    def _transformer(self) -> Transformer:
        """A copy of the stock module, with its weights but a tokenizer of its own."""
        return sharing_copy(self._model.module.transformer)
