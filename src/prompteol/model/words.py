"""Predict the next words of a prompt with the LM head put back on the backbone."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from inspect import signature
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from prompteol.errors import ModelError, NonFiniteError
from prompteol.model.source import ModelSource, backbone_of
from prompteol.tokenization import PromptTokenizer, TokenRows

# Tokens looked at before those that spell the same word are added up.
_CANDIDATES = 512
# How far logits of packed states and the bare head may be from the language model's own, of the largest.
_ROUNDING = {torch.float32: 1e-4, torch.float64: 1e-9}
_HALF_ROUNDING = 2e-2
# Control characters, and what bytes that make no whole character are decoded to.
_NO_WORD = re.compile(r"[\x00-\x1f\x7f-\x9f\ufffd]")


class Word(NamedTuple):
    """A predicted next word and its probability."""

    text: str
    probability: float


class LanguageModelHead:
    """Predict next words with a backbone and the head that belongs to it, or raise ModelError where there is none.

    A tied head is the backbone's own token embeddings. Any other is read once from the base model that the backbone
    came from. The language model's own code runs, so that soft-capping, scaling and biases are right.
    """

    def __init__(self, backbone: PreTrainedModel, source: ModelSource) -> None:
        base = backbone_of(source)
        tied = backbone.config.get_text_config().tie_word_embeddings
        model = tied_language_model(backbone) if tied else None
        if (model is None or _is_incomplete(model)) and base.kind == "base":
            model = AutoModelForCausalLM.from_pretrained(base.name, **base.weights_kwargs, dtype=backbone.dtype)
            setattr(model, model.base_model_prefix, backbone)
        if model is None or _is_incomplete(model):
            raise ModelError(
                f"this model has no LM head: {type(backbone).__name__}'s is not its token embeddings alone, and a "
                "saved embedding model leaves it out. Ask the base model for words: PromptEOL(BASE).words(...)"
            )
        self._model = model.eval()
        self._linear: bool | None = None

    @property
    def backbone(self) -> PreTrainedModel:
        """The backbone that the head was put on."""
        backbone: PreTrainedModel = self._model.base_model
        return backbone

    @property
    def unembedding(self) -> Tensor:
        """The weight of the head, (vocabulary, width)."""
        self._model.tie_weights()
        weight: Tensor = self._model.get_output_embeddings().weight
        return weight

    def words_of(self, texts: Sequence[str], prompter: PromptTokenizer, k: int, *, max_length: int) -> list[list[Word]]:
        """Return the ``k`` most likely words after the prompt of each text, likeliest first."""
        words: list[list[Word]] = []
        for start in range(0, len(texts), 32):
            rows = prompter(texts[start : start + 32], max_length=max_length)
            features = TokenRows(rows, (), prompter.tokenizer.pad_token_id).padded()
            on_device = {name: tensor.to(self.backbone.device) for name, tensor in features.items()}
            words += self.next_words(on_device, prompter.tokenizer, k)
        return words

    @torch.inference_mode()
    def logits(self, states: Tensor, features: Callable[[], dict[str, Tensor]]) -> Tensor:
        """Return the logits after states of the last layer, (rows, vocabulary).

        The head alone gives them where it is found to give those of the language model's own code, which may scale or
        cap them; else that code runs on ``features()``, the padded rows of the states.
        """
        self._place()
        linear: Tensor = self._model.get_output_embeddings()(states)
        if self._linear is None:
            row = {name: tensor[:1] for name, tensor in features().items()}
            own, largest = self._last_logits(row), linear[:1].abs().max()
            allowed = largest * _ROUNDING.get(linear.dtype, _HALF_ROUNDING)
            self._linear = bool((own - linear[:1]).abs().max() <= allowed)
        if self._linear:
            return linear
        rows = features()
        return torch.cat(
            [
                self._last_logits({name: tensor[start : start + 32] for name, tensor in rows.items()})
                for start in range(0, len(states), 32)
            ]
        )

    @torch.inference_mode()
    def next_words(self, features: dict[str, Tensor], tokenizer: PreTrainedTokenizerBase, k: int) -> list[list[Word]]:
        """Return the ``k`` most likely words after each row of ``input_ids``, likeliest first.

        Tokens that spell one word but for blanks are added up. Blanks, control characters and some of a character's
        bytes are no word.
        """
        all_probabilities = self._probabilities(features)
        probabilities, tokens = all_probabilities.topk(min(all_probabilities.shape[-1], max(_CANDIDATES, 8 * k)))
        return [
            _spell(tokenizer, ids, likely, k)
            for ids, likely in zip(tokens.tolist(), probabilities.tolist(), strict=True)
        ]

    @torch.inference_mode()
    def probabilities(self, rows: Sequence[Sequence[int]], pad: int) -> Tensor:
        """Return the probability of each token of the vocabulary after each row of token ids, on the CPU."""
        parts = []
        for start in range(0, len(rows), 32):
            features = TokenRows([list(row) for row in rows[start : start + 32]], (), pad).padded()
            on_device = {name: tensor.to(self.backbone.device) for name, tensor in features.items()}
            parts.append(self._probabilities(on_device).cpu())
        return torch.cat(parts)

    def _probabilities(self, features: dict[str, Tensor]) -> Tensor:
        self._place()
        last = self._last_logits(features)
        if last.isnan().any() or last.isposinf().any():
            raise NonFiniteError(
                "the next word's logits hold NaN or infinity: compute in fp32 with "
                'model_kwargs={"dtype": "float32"}, or in bf16 on an accelerator'
            )
        return last.float().softmax(dim=-1)

    def _place(self) -> None:
        # A head of its own does not move with the backbone.
        backbone = self.backbone
        for part in self._model.children():
            if part is not backbone:
                part.to(device=backbone.device, dtype=backbone.dtype)
        # The backbone may have other embeddings by now.
        self._model.tie_weights()

    def _last_logits(self, features: dict[str, Tensor]) -> Tensor:
        """Return the logits after each row's last token, and let no others be computed where the model can."""
        places = features["attention_mask"].sum(dim=1) - 1
        if "logits_to_keep" in signature(self._model.forward).parameters:
            kept, places = places.unique(return_inverse=True)
            features = {**features, "logits_to_keep": kept}
        logits: Tensor = self._model(**features).logits
        return logits[torch.arange(len(places), device=logits.device), places.to(logits.device)]


def tied_language_model(backbone: PreTrainedModel) -> PreTrainedModel:
    """Return the language model around a backbone, its head tied; what else a head has stays on the meta device."""
    with torch.device("meta"):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(backbone.config, dtype=backbone.dtype)
    setattr(model, model.base_model_prefix, backbone)
    model.tie_weights()
    return model


def is_word(text: str) -> bool:
    """Return whether a token's text is more than blanks, control characters or some of a character's bytes."""
    return bool(text) and not _NO_WORD.search(text)


def _is_incomplete(model: PreTrainedModel) -> bool:
    return any(part.is_meta for part in (*model.parameters(), *model.buffers()))


def _spell(tokenizer: PreTrainedTokenizerBase, ids: list[int], likely: list[float], k: int) -> list[Word]:
    total: dict[str, float] = {}
    for token, probability in zip(ids, likely, strict=True):
        word = str(tokenizer.decode([token])).strip()
        if is_word(word):
            total[word] = total.get(word, 0.0) + probability
    ranked = sorted(total.items(), key=lambda item: -item[1])
    return [Word(word, probability) for word, probability in ranked[:k]]
