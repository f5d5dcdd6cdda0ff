"""Read words and sparse vectors off the LM head of a loaded model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import overload

import numpy as np
import torch
from scipy.sparse import csr_array, vstack
from torch import Tensor

from prompteol.errors import InputError, SettingError
from prompteol.model.contrast import contrastive_words
from prompteol.model.settable import SettableModel
from prompteol.model.source import ModelSource
from prompteol.model.sparse import HybridVectors, token_weights
from prompteol.model.words import LanguageModelHead, Word
from prompteol.prompts import PromptTask, prompt_of_task
from prompteol.validation import as_texts, check_count, check_finite

# Logits of so many texts are held at once: 200 MB with a vocabulary of 200,000.
_TEXTS_AT_ONCE = 256


class LexicalModel(SettableModel):
    """Put the LM head back on the backbone when words or sparse vectors are asked for."""

    _source: ModelSource
    _head: LanguageModelHead | None = None

    @property
    def head(self) -> LanguageModelHead:
        """The LM head of the backbone, found when first asked for; raises ``ModelError`` where there is none."""
        if self._head is None or self._head.backbone is not self.module.transformer.model:
            self._head = LanguageModelHead(self.module.transformer.model, self._source)
        return self._head

    @overload
    def words(self, texts: str, k: int = 5, *, contrast: bool = True) -> list[Word]: ...  # type: ignore[overload-overlap]

    @overload
    def words(self, texts: Sequence[str], k: int = 5, *, contrast: bool = True) -> list[list[Word]]: ...

    def words(self, texts: str | Sequence[str], k: int = 5, *, contrast: bool = True) -> list[Word] | list[list[Word]]:
        """Return what each text means in one word: ``k`` next words, with their probabilities.

        They come from the last layer and the LM head, whatever layer gives the embedding. Control characters and
        single bytes of a character are left out.

        Args:
            texts: one or several.
            k: how many words of each text.
            contrast: put those words first that the text makes likelier than a text that says nothing does. Spellings
                that differ in case are one word, and a word that begins with the token of a longer one is spelled out
                by the model. ``False`` gives the likeliest next tokens, likeliest first.

        Raises:
            ModelError: the model has no LM head.
        """
        if k < 1:
            raise InputError(f"k={k} asks for no word; give 1 or more")
        batch, single = as_texts(texts)
        self.eval()
        prompter, longest = self.module.prompter, self.max_seq_length or 2**31
        if contrast:
            words = contrastive_words(self.head, prompter, batch, k, max_length=longest)
        else:
            words = self.head.words_of(batch, prompter, k, max_length=longest)
        return words[0] if single else words

    def encode_sparse(
        self,
        texts: str | Sequence[str],
        task: PromptTask | None = None,
        *,
        max_active_dims: int = 128,
        expand: bool = False,
    ) -> csr_array:
        """Weight the words of each text by the LM head, as PromptReps does: a SciPy CSR array, (texts, vocabulary).

        The arguments and errors are those of :meth:`encode_hybrid`.
        """
        batch, _ = as_texts(texts)
        return self._hybrid(batch, task, max_active_dims, expand).sparse

    def encode_hybrid(
        self,
        texts: str | Sequence[str],
        task: PromptTask | None = None,
        *,
        max_active_dims: int = 128,
        expand: bool = False,
    ) -> HybridVectors:
        """Embed texts, and weight their words, in one forward pass; see :func:`prompteol.hybrid_scores`.

        A weight is ``log(1 + relu(logit))`` of the last layer at the last token, whatever layer gives the embedding.
        The embeddings are those of :meth:`encode`, with a task those of ``encode_query`` or ``encode_document``.

        Args:
            texts: one or several; the result has a row for each.
            task: ``"query"`` or ``"document"``, where the template has one for each, such as ``"promptreps"``.
            max_active_dims: keep that many of the largest weights of a text.
            expand: weight every token of the vocabulary, not only those of the text's own words.

        Raises:
            ModelError: the model has no LM head.
            SettingError: the model embeds by a forward technique, whose prompts are several.
        """
        batch, _ = as_texts(texts)
        return self._hybrid(batch, task, max_active_dims, expand)

    @torch.inference_mode()
    def _hybrid(self, texts: list[str], task: PromptTask | None, max_active_dims: int, expand: bool) -> HybridVectors:
        check_count("max_active_dims", max_active_dims)
        if self.technique is not None:
            raise SettingError(
                f"{self.technique} fills several prompts or edits one, and sparse vectors come from a plain one: load "
                "without"
            )
        self.eval()
        width = self.head.unembedding.shape[0]
        dense, sparse = (
            [np.zeros((0, self.truncate_dim or self.full_dimension), np.float32)],
            [csr_array((0, width), dtype=np.float32)],
        )
        for part, states, logits in self._states_and_logits(texts, task):
            features = {"sentence_embedding": states}
            for module in list(self.children())[1:]:
                features = module(features)
            dense.append(features["sentence_embedding"][:, : self.truncate_dim].float().cpu().numpy())
            sparse.append(token_weights(logits, part, self.tokenizer, max_active_dims=max_active_dims, expand=expand))
        vectors = np.concatenate(dense)
        check_finite(vectors, texts)
        return HybridVectors(vectors, csr_array(vstack(sparse, format="csr")))

    def _states_and_logits(
        self, texts: list[str], task: PromptTask | None
    ) -> Iterator[tuple[list[str], Tensor, Tensor]]:
        """Yield some texts, their states at the layer of the embedding and their logits, from one pass."""
        prompt = prompt_of_task(task, self.prompts, self.default_prompt_name)
        layers = [self.layer] if self.layer == -1 else [self.layer, -1]
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            part = texts[start : start + _TEXTS_AT_ONCE]
            states = self.module.layer_states(part, layers, task=task, prompt=prompt)
            padded = partial(self.module.padded_rows, part, task=task, prompt=prompt)
            yield part, states[0], self.head.logits(states[-1], padded)
