"""Tokenize the batches of a training: the model's own prompt, and for a share of the texts other ones."""

from __future__ import annotations

import hashlib
import json
import random
import sys
from collections.abc import Iterator, Sequence

from torch import Tensor

from prompteol.errors import SettingError
from prompteol.prompts import PROMPT_TASKS, RetrievalTemplate, resolve_template
from prompteol.sentence_transformers import PromptEOL
from prompteol.tokenization import PromptTokenizer, TokenRows
from prompteol.training.recipe import Recipe

# The prompt of each column of a pair of templates; the argument `task` would keep columns of two tasks from being one
# forward.
TASK_OF_COLUMN = {
    "anchor": "query", "query": "query", "positive": "document", "negative": "document", "text": "document",
}  # fmt: skip


class TrainingPrompts:
    """Render and tokenize texts for training; a share of each batch under the recipe's extra templates, in turn.

    The draw depends on the texts of the batch and the seed alone, so that a resumed training draws the same.

    Raises:
        SettingError: a technique's prompts and extra templates do not go together.
        TemplateError: an extra template cannot be used with this tokenizer.
    """

    def __init__(self, model: PromptEOL, recipe: Recipe) -> None:
        self.model = model
        self.recipe = recipe
        own = model.module.prompter
        if recipe.extra_templates and len(model.module.prompt_tokenizers()) > 1:
            raise SettingError("extra_templates with a technique that has several prompts: leave one of the two out")
        self.others = [PromptTokenizer(own.tokenizer, resolve_template(one)) for one in recipe.extra_templates]
        # Each has written its chat template into the tokenizer: the model's own stays.
        own.settle()

    @property
    def heads(self) -> Iterator[list[int]]:
        """What the rows of the extra templates start with, in token ids."""
        return (one.head(task) for one in self.others for task in PROMPT_TASKS)

    def __call__(self, texts: Sequence[str], prompt: str | None = None, **_: object) -> dict[str, Tensor]:
        """Return ``input_ids`` and ``attention_mask``; nothing where all texts are empty, as queries may be.

        No other features: what only the packed forward reads would keep the columns of a batch from being one forward,
        and then a resumed training would draw another dropout.
        """
        texts = [text for text in texts if text]
        if not texts:
            return {}
        if not self.others:
            features = self.model.preprocess(texts, prompt=_routed(self.model.module.prompter, prompt))
            return {name: features[name] for name in ("input_ids", "attention_mask")}
        chosen = self._draw(texts)
        module = self.model.module
        longest = module.max_seq_length or sys.maxsize
        rows: dict[int, list[int]] = {}
        for number, one in enumerate([module.prompter, *self.others]):
            places = [place for place, which in enumerate(chosen) if which == number]
            ids = one([texts[place] for place in places], prompt=_routed(one, prompt), max_length=longest)
            rows.update(zip(places, ids, strict=True))
        return TokenRows([rows[place] for place in range(len(texts))], (), module.tokenizer.pad_token_id).padded()

    def _draw(self, texts: Sequence[str]) -> list[int]:
        """Return the number of each text's template, 0 for the model's own."""
        content = hashlib.sha256(json.dumps(texts).encode()).hexdigest()
        generator = random.Random(f"{self.recipe.seed} {content}")  # noqa: S311
        count = round(self.recipe.extra_share * len(texts))
        first = generator.randrange(len(self.others))
        numbers = [1 + (first + turn) % len(self.others) for turn in range(count)] + [0] * (len(texts) - count)
        generator.shuffle(numbers)
        return numbers


def _routed(tokenizer: PromptTokenizer, prompt: str | None) -> str:
    """Return the prompt that chooses of a pair, which to a template alone would be text."""
    return prompt or "" if isinstance(tokenizer.template, RetrievalTemplate) else ""
