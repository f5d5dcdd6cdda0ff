"""Embed texts to plain lists of floats from any thread, as every framework's adapter needs it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import threading
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

import numpy as np

from prompteol.embedder.index_safety import IndexGuard
from prompteol.embedder.long_texts import LongTextNotice
from prompteol.errors import InputError, SettingError
from prompteol.inference import settings_sample, weights_sample
from prompteol.locks import Lock
from prompteol.prompts import PROMPT_TASKS, PromptTask
from prompteol.tokenization import tokenizer_sample
from prompteol.validation import as_texts, check_count, check_dimension, check_finite

if TYPE_CHECKING:
    from typing import Self

    from sentence_transformers import SentenceTransformer


# They decide what `encode` returns, and an embedder returns lists of floats of a text for its task.
_REFUSED = frozenset({"convert_to_tensor", "convert_to_numpy", "output_value", "task"})
# They decide how vectors are computed, and not which. All other options belong to what an index was built with.
_OF_NO_EFFECT = frozenset({"batch_size", "show_progress_bar", "device", "pool", "chunk_size", "engine"})
_DEFAULTS = {"normalize_embeddings": True, "precision": "float32"}

# Outside the models, so that pickling or copying one never meets a lock.
_locks: WeakKeyDictionary[SentenceTransformer, threading.RLock] = WeakKeyDictionary()
_guard = Lock()
# One thread a model for asynchronous calls, which wait in its queue, where they can be canceled: waiting for the lock
# in threads of the event loop's own pool, they would keep everything else there from running.
_workers: WeakKeyDictionary[SentenceTransformer, ThreadPoolExecutor] = WeakKeyDictionary()


def _forget_threads() -> None:
    """Leave behind in a forked child what belongs to threads that did not come along: workers, and their locks."""
    _locks.clear()
    _workers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


def lock_for(model: SentenceTransformer) -> threading.RLock:
    """Return the one lock of a model object.

    A tokenizer's truncation and padding are shared state: two threads that encode with one model can silently get
    wrong vectors. Whoever calls ``encode`` from several threads holds this lock.
    """
    with _guard.locked():
        return _locks.setdefault(model, threading.RLock())


def _worker_for(model: SentenceTransformer) -> ThreadPoolExecutor:
    with _guard.locked():
        if model not in _workers:
            _workers[model] = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prompteol")
        return _workers[model]


def model_state(model: SentenceTransformer) -> Hashable:
    """Return what differs once a model was changed in place, by settings, parts, hooks and a few values of each weight.

    An adapter that loaded its model by name asks whether that name still brings it back.
    """
    settings = ("template", "layer", "max_seq_length", "truncate_dim", "default_prompt_name")
    values = (getattr(model, name, None) for name in settings)
    tokenizer = tokenizer_sample(getattr(model, "tokenizer", None))
    return weights_sample(model), settings_sample(model), tokenizer, tuple(sorted(model.prompts.items())), *values


@dataclass
class TextEmbedder:
    """Embed queries and documents with any sentence-transformers model, from any thread.

    A query goes through ``model.encode_query`` and a document through ``model.encode_document``, so a model's own
    prompts and its query and document templates hold. Texts reach the model as they are: no newline is replaced,
    nothing is stripped. No error is retried.

    Args:
        model: a ``SentenceTransformer``, ``PromptEOL`` or not; shared, never copied. One lock per model object keeps
            the threads of all embedders over it apart.
        normalize: scale vectors to length 1, after any cut to ``truncate_dim``.
        batch_size: texts per forward pass; ``None``: as many as the model itself takes, 256 for a ``PromptEOL``.
        truncate_dim: keep this many leading dimensions; ``None``: what the model itself says.
        show_progress: draw a progress bar.
        prompts: text put before the texts of a task, ``{"query": ..., "document": ...}``. A task left out or ``None``:
            the model's own prompt; ``""``: none.
        encode_kwargs: passed on to ``encode_query`` and ``encode_document``; they win over everything above.
        query_encode_kwargs: merged over ``encode_kwargs`` for queries.

    Raises:
        SettingError: ``model`` is none, an unknown task in ``prompts``, a size below 1, one of ``convert_to_tensor``,
            ``convert_to_numpy``, ``output_value`` and ``task``, which would change what comes back, or an 8-bit
            ``precision``.
    """

    model: SentenceTransformer
    _: KW_ONLY
    normalize: bool = True
    batch_size: int | None = None
    truncate_dim: int | None = None
    show_progress: bool = False
    prompts: Mapping[str, str | None] | None = None
    encode_kwargs: Mapping[str, Any] | None = None
    query_encode_kwargs: Mapping[str, Any] | None = None
    notice: LongTextNotice = field(default_factory=LongTextNotice, repr=False, compare=False)
    guard: IndexGuard | None = field(default=None, repr=False, compare=False)
    _needed: ClassVar[str] = "encode_query"

    def __post_init__(self) -> None:
        if not hasattr(self.model, self._needed):
            raise SettingError(
                f"model is {self.model!r:.60}, not a SentenceTransformer; load it first: PromptEOL({self.model!r:.60})"
            )
        for task in self.prompts or {}:
            _check_task(task)
        check_count("batch_size", self.batch_size)
        check_dimension(self.truncate_dim)
        _check_encode_kwargs(self.encode_kwargs or {})
        _check_encode_kwargs(self.query_encode_kwargs or {})

    def embed(self, texts: Sequence[str], task: PromptTask) -> list[list[float]]:
        """Embed texts for a task, in their order.

        Returns:
            One list of Python floats a text, of the model's dimension or ``truncate_dim``; ``[]`` of ``[]``.

        Raises:
            InputError: a bare string where a list belongs, or an item that is not a string (with its index).
            SettingError: an unknown task, or ``truncate_dim`` is more than there is.
            NonFiniteError: a vector holds NaN or infinity.
            IndexMismatchError: this embedder is for an index, and was changed since it was built.
        """
        from prompteol.sentence_transformers import PromptEOL

        self._check_call(texts, task)
        # PromptEOL's own `encode` looks at every text of a list.
        if not isinstance(texts, list) or not isinstance(self.model, PromptEOL):
            texts = as_texts(texts)[0]
        if not texts:
            return []
        encode = self.model.encode_query if task == "query" else self.model.encode_document
        with lock_for(self.model):
            self.check_guard()
            options = self._encode_kwargs(task)
            # Integer precisions too become floats: stores and JSON take those.
            vectors = np.asarray(encode(texts, **options), dtype=np.float32)
            self.notice.check(self.model, texts, task)
        check_finite(vectors, texts)
        wanted = options["truncate_dim"]
        if wanted is not None and vectors.shape[1] < wanted and options.get("precision", "float32") == "float32":
            raise SettingError(f"truncate_dim={wanted}, but the model has {vectors.shape[1]} dimensions; lower it")
        return vectors.tolist()  # type: ignore[no-any-return]

    async def aembed(self, texts: Sequence[str], task: PromptTask) -> list[list[float]]:
        """Do what :meth:`embed` does in a thread of the model's own, while the event loop goes on."""
        work = partial(copy_context().run, self.embed, texts, task)
        return await asyncio.get_running_loop().run_in_executor(_worker_for(self.model), work)

    @property
    def fingerprint(self) -> str:
        """Hex digits over the model as it is now and over all that this embedder adds to it, computed anew each time.

        It is the model's own fingerprint where nothing is added. Else what decides the vectors of either task counts:
        prompts, normalization, the cut, the precision and whatever else ``encode_kwargs`` holds.
        """
        of_the_model, added = self._model_fingerprint(), self._added()
        return hashlib.sha256(f"{of_the_model} {added}".encode()).hexdigest() if added else of_the_model

    @property
    def dimension(self) -> int:
        """How many numbers a vector has, which is what a store has to be made for."""
        return len(replace(self, guard=None).embed([""], "document")[0])

    def for_index(self, index: str | os.PathLike[str] | Any, *, name: str = "", dimension: int | None = None) -> Self:
        """Return an embedder for one index, once it is sure that the index is new or that this one built it.

        It looks again before it embeds with a model or settings that were changed since (an edit of a few single
        weights is noticed when the index is opened). The arguments and errors are those of
        :func:`prompteol.embedder.guard_index`.
        """
        guarded = replace(self, guard=IndexGuard(index, name, dimension))
        guarded.check_guard()
        return guarded

    def check_guard(self) -> None:
        """Raise :class:`IndexMismatchError` if this embedder is for an index that another one built."""
        if self.guard is not None:
            self.guard.check(self, (self.state(), self._added()))

    def _model_fingerprint(self) -> str:
        from prompteol.saving import fingerprint

        return fingerprint(self.model)

    def state(self) -> Hashable:
        """Return what differs once the model was changed in place, see :func:`model_state`."""
        return model_state(self.model)

    def _check_call(self, texts: Sequence[str], task: PromptTask) -> None:
        _check_task(task)
        if isinstance(texts, str):
            raise InputError(f"texts is the string {texts[:40]!r}, not a list of strings: write [text]")

    def _added(self) -> str:
        """Return in JSON what is added to the model's own vectors, by task; nothing added is the empty string."""
        by_task = {}
        for task in PROMPT_TASKS:
            own = {**_DEFAULTS, "truncate_dim": self.model.truncate_dim, "prompt": self.model.prompts.get(task)}
            by_task[task] = {
                name: value
                for name, value in self._encode_kwargs(task).items()
                if name not in _OF_NO_EFFECT and not (name in own and value in (None, own[name]))
            }
        return json.dumps(by_task, sort_keys=True, default=repr) if any(by_task.values()) else ""

    def _encode_kwargs(self, task: PromptTask) -> dict[str, Any]:
        given = {**(self.encode_kwargs or {}), **((self.query_encode_kwargs or {}) if task == "query" else {})}
        prompt = None if "prompt_name" in given else (self.prompts or {}).get(task)
        return {
            "show_progress_bar": self.show_progress,
            "normalize_embeddings": self.normalize,
            "truncate_dim": self.truncate_dim,
            **({} if self.batch_size is None else {"batch_size": self.batch_size}),
            **({} if prompt is None else {"prompt": prompt}),
            **given,
        }


def _check_task(task: str) -> None:
    if task not in PROMPT_TASKS:
        raise SettingError(f"task={task!r} is none of {', '.join(map(repr, PROMPT_TASKS))}")


def _check_encode_kwargs(encode_kwargs: Mapping[str, Any]) -> None:
    if refused := sorted(_REFUSED & encode_kwargs.keys()):
        raise SettingError(
            f"encode_kwargs holds {', '.join(refused)}, but an embedder returns lists of floats, by task; remove it, "
            "or call model.encode_query and model.encode_document yourself"
        )
    precision = encode_kwargs.get("precision")
    if precision in ("int8", "uint8"):
        raise SettingError(
            f"encode_kwargs holds precision={precision!r}, whose steps are chosen anew from each call's texts: vectors "
            "of two calls cannot be compared; leave it out, and let the vector store quantize, or use 'binary'"
        )
