"""Embed with a server's vectors: texts are rendered and tokenized here, without any weights, and computed there."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from prompteol.embedder.server import Answer, EmbeddingServer
from prompteol.embedder.text_embedder import TextEmbedder
from prompteol.errors import ServerError, SettingError
from prompteol.loading import PromptConfig, embedding_form, find_parts
from prompteol.model import LoadOptions
from prompteol.prompts import (
    DemonstrationsLike,
    NormalizationMode,
    PromptTask,
    TemplateLike,
    prompt_of_task,
    prompts_for,
)
from prompteol.tokenization import PromptTokenizer
from prompteol.validation import as_texts, check_dimension, check_finite, check_prompts
from prompteol.vectors import unit

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_FILES = frozenset({"revision", "token", "cache_folder", "local_files_only"})
# Many small requests keep a server's queue full, and no body grows beyond what servers take.
_TEXTS_A_REQUEST = 256
# What else `encode` knows, a server does not.
_TAKEN = frozenset({"batch_size", "show_progress_bar", "normalize_embeddings", "truncate_dim", "prompt", "prompt_name"})


class ServedModel:
    """Hold what is needed of a model whose weights a server has: tokenizer, template, prompts, fingerprint.

    Args:
        model_name_or_path: the model that the server serves, as :class:`prompteol.PromptEOL` takes it.
        server: computes the vectors of token ids.
        template, demonstrations, normalization, trust_remote_code: those of :class:`prompteol.PromptEOL`.
        files: ``revision``, ``token``, ``cache_folder`` and ``local_files_only``.

    Raises:
        ModelError: there is no such model.
        SettingError: it embeds by a technique that no server computes, or an argument is for weights computed here.
    """

    def __init__(
        self,
        model_name_or_path: str | Path | None,
        server: EmbeddingServer,
        *,
        template: TemplateLike | None = None,
        demonstrations: DemonstrationsLike | None = None,
        normalization: NormalizationMode | None = None,
        trust_remote_code: bool = False,
        **files: Any,
    ) -> None:
        if foreign := sorted(set(files) - _FILES):
            raise SettingError(f"{foreign[0]}={files[foreign[0]]!r} is for local weights: leave out the endpoint")
        self.server = server
        request = PromptConfig(template, demonstrations, None, "auto", normalization)
        found = find_parts(model_name_or_path, request, LoadOptions(trust_remote_code=trust_remote_code), **files)
        if found.technique is not None:
            raise SettingError(f"no server computes the technique of {found.source.name!r}: leave out the endpoint")
        form = embedding_form(found, request)
        settings = form.settings
        self.name = found.source.name
        self.prompter = PromptTokenizer(found.tokenizer, found.template)
        self.prompts: dict[str, str | None] = dict(
            prompts_for(found.template, found.saved, settings.get("prompts") or {})
        )
        self.default_prompt_name: str | None = settings.get("default_prompt_name")
        self.truncate_dim: int | None = settings.get("truncate_dim")
        self.max_seq_length = int(min(form.length_limit, 2**31))
        self.dimension = form.dimension
        #: That of the saved model; ``None`` where only the weights would tell.
        self.fingerprint: str | None = form.fingerprint

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer, which carries the template as its chat template."""
        return self.prompter.tokenizer

    def preprocess(self, texts: Sequence[str], *, task: PromptTask | None = None) -> dict[str, list[list[int]]]:
        """Return the token ids of texts."""
        return {"input_ids": self.prompter(texts, task=task, max_length=self.max_seq_length)}


@dataclass
class ServerEmbedder(TextEmbedder):
    """Embed queries and documents with a server's vectors, as :class:`TextEmbedder` does with a model's.

    Token ids are sent, so that the prompt is this package's whatever the server's tokenizer does. The fingerprint is
    that of the saved model, and an index that either built serves both. That the server computes these vectors is not
    known from here: ask :func:`prompteol.verify` once.

    Raises:
        SettingError: vectors that are not scaled to length 1 are wanted, of which a server may keep the length, or an
            option of ``encode`` that a server does not know.
    """

    model: ServedModel  # type: ignore[assignment]
    _needed: ClassVar[str] = "prompter"

    def __post_init__(self) -> None:
        super().__post_init__()
        for task in ("query", "document"):
            options = self._encode_kwargs(task)  # type: ignore[arg-type]
            unknown = sorted(options.keys() - _TAKEN)
            if unknown or not options["normalize_embeddings"]:
                what = unknown or ["normalize_embeddings=False"]
                raise SettingError(f"{', '.join(what)}: a server does not take it; leave it out, or the endpoint")
            check_prompts(self.model.prompts, options.get("prompt_name"), options.get("prompt"))

    def embed(self, texts: Sequence[str], task: PromptTask) -> list[list[float]]:
        """Embed texts for a task, in their order; further errors are those of :class:`TextEmbedder`.

        Raises:
            ServerError: there is no answer, the server refuses, or its vectors are none of this model's.
        """
        given, rows = self._prepare(texts, task)
        return self._finish([self.model.server.embed(batch) for batch in self._batches(rows, task)], given, task)

    async def aembed(self, texts: Sequence[str], task: PromptTask) -> list[list[float]]:
        """Do what :meth:`embed` does while the event loop goes on; requests can be canceled."""
        given, rows = await asyncio.to_thread(self._prepare, texts, task)
        answers = [await self.model.server.aembed(batch) for batch in self._batches(rows, task)]
        return self._finish(answers, given, task)

    def _prepare(self, texts: Sequence[str], task: PromptTask) -> tuple[list[str], list[list[int]]]:
        self._check_call(texts, task)
        given = as_texts(texts)[0]
        if not given:
            return [], []
        self.check_guard()
        options = self._encode_kwargs(task)
        name, prompts = options.get("prompt_name"), self.model.prompts
        own = prompt_of_task(task if name is None else None, prompts, name or self.model.default_prompt_name)
        rows = self.model.prompter(
            given, task=task, prompt=options.get("prompt", own), max_length=self.model.max_seq_length
        )
        self.notice.check(self.model, given, task)  # type: ignore[arg-type]
        return given, rows

    def _batches(self, rows: list[list[int]], task: PromptTask) -> Iterator[list[list[int]]]:
        size = self._encode_kwargs(task).get("batch_size") or _TEXTS_A_REQUEST
        return (rows[start : start + size] for start in range(0, len(rows), size))

    def _finish(self, answers: list[Answer], texts: list[str], task: PromptTask) -> list[list[float]]:
        if not texts:
            return []
        sizes = {answer.vectors.shape[1] for answer in answers}
        wanted = self._encode_kwargs(task)["truncate_dim"] or self.model.truncate_dim
        # A server may answer whole vectors where the saved model cuts them.
        longer = self.model.truncate_dim is None and max(sizes) > self.model.dimension
        if len(sizes) > 1 or longer or min(sizes) < self.model.dimension:
            raise ServerError(
                f"{self.model.server.address} answered vectors of {min(sizes)} dimensions, and {self.model.name!r} has "
                f"{self.model.dimension}: it serves another model, or cuts; prompteol verify tells which"
            )
        check_dimension(wanted, min(sizes))
        vectors = np.concatenate([answer.vectors for answer in answers])[:, :wanted]
        check_finite(vectors, texts)
        return unit(vectors).tolist()  # type: ignore[no-any-return]

    def _model_fingerprint(self) -> str:
        if self.model.fingerprint is None:
            raise SettingError(
                f"{self.model.name!r} holds no fingerprint, which an index needs: this package did not save it, or it "
                "has another prompt here: prompteol create -m MODEL -o FOLDER, then serve and name FOLDER"
            )
        return self.model.fingerprint

    def state(self) -> Hashable:
        """Return what differs once another model is served, as far as it is known here."""
        return self.model.fingerprint
