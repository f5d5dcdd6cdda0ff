"""The words a language model would say next: the LM head put back on the backbone."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from prompteol.backbone.source import Source, backbone_of
from prompteol.errors import ModelError, NonFiniteError

__all__ = ["LanguageModelHead", "Word"]

# Tokens looked at before those that spell the same word are added up.
_CANDIDATES = 512


class Word(NamedTuple):
    """A word that the model would say next, and how likely."""

    text: str
    probability: float


class LanguageModelHead:
    """Predict next words with a backbone and the head that belongs to it.

    A tied head is the backbone's own token embeddings. Any other is read once from where the base model came from.
    The language model's own code runs, so that soft-capping, scaling and biases are right.

    Args:
        backbone: stays where it is; no weight is copied.
        source: a base model, or an adapter of one, to take an untied head from; ``None`` where there is none.
        options: keyword arguments for loading it.

    Raises:
        ModelError: the head is not tied, and there is no base model to take it from.
    """

    def __init__(self, backbone: PreTrainedModel, source: Source | None, options: dict[str, Any] | None = None) -> None:
        config = backbone.config
        base = None if source is None else backbone_of(source)
        if config.get_text_config().tie_word_embeddings:
            with torch.device("meta"):
                self._model = AutoModelForCausalLM.from_config(config, dtype=backbone.dtype)
            self._wrap(backbone)
            self._model.tie_weights()
        elif base is not None and base.kind == "base":
            self._model = AutoModelForCausalLM.from_pretrained(
                base.name, **base.hub_kwargs, **{"dtype": backbone.dtype, **(options or {})}
            )
            self._wrap(backbone)
        else:
            raise ModelError(
                f"this model has no LM head: {type(backbone).__name__}'s head is not tied to its token embeddings, and "
                "a saved embedding model leaves it out. Ask the base model for words: PromptEOL(BASE).words(...)"
            )
        if any(parameter.is_meta for parameter in self._model.parameters()):
            raise ModelError(f"this model has no LM head: part of {type(self._model).__name__}'s is in no file")
        self._model.eval()

    def _wrap(self, backbone: PreTrainedModel) -> None:
        setattr(self._model, self._model.base_model_prefix, backbone)

    @torch.inference_mode()
    def next_words(self, features: dict[str, Tensor], tokenizer: PreTrainedTokenizerBase, k: int) -> list[list[Word]]:
        """Return the ``k`` most likely words after each row of ``input_ids``, likeliest first.

        Tokens that spell the same word but for blanks around it are added up; blanks alone are no word.

        Raises:
            NonFiniteError: the logits hold NaN or infinity.
        """
        lengths = features["attention_mask"].sum(dim=1)
        # A head of its own does not move with the backbone.
        backbone = self._model.base_model
        self._model.get_output_embeddings().to(device=backbone.device, dtype=backbone.dtype)
        logits = self._model(**features).logits
        last = logits[torch.arange(len(lengths), device=logits.device), lengths.to(logits.device) - 1]
        if last.isnan().any() or last.isposinf().any():
            raise NonFiniteError(
                "the next word's logits hold NaN or infinity: compute in fp32 with "
                'model_kwargs={"dtype": "float32"}, or in bf16 on an accelerator'
            )
        probabilities, tokens = last.float().softmax(dim=-1).topk(min(last.shape[-1], max(_CANDIDATES, 8 * k)))
        return [
            _spell(tokenizer, ids, likely, k)
            for ids, likely in zip(tokens.tolist(), probabilities.tolist(), strict=True)
        ]


def _spell(tokenizer: PreTrainedTokenizerBase, ids: list[int], likely: list[float], k: int) -> list[Word]:
    total: dict[str, float] = {}
    for token, probability in zip(ids, likely, strict=True):
        word = str(tokenizer.decode([token])).strip()
        if word:
            total[word] = total.get(word, 0.0) + probability
    ranked = sorted(total.items(), key=lambda item: -item[1])
    return [Word(word, probability) for word, probability in ranked[:k]]
