"""Texts in, plain lists of floats out: what every framework's adapter needs, with no framework in it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from prompteol.checks import as_texts, check_finite
from prompteol.errors import InputError, SettingError
from prompteol.long_texts import LongTextNotice
from prompteol.prompts import ROLES, Role

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["TextEmbedder", "lock_for"]

# They decide what `encode` returns, and an embedder returns lists of floats of a text in its role.
_REFUSED = frozenset({"convert_to_tensor", "convert_to_numpy", "output_value", "task"})

# Outside the models, so that pickling or copying one never meets a lock.
_locks: WeakKeyDictionary[SentenceTransformer, threading.RLock] = WeakKeyDictionary()
_locks_guard = threading.Lock()

# One thread a model for asynchronous calls, which wait in its queue, where they can be cancelled: waiting for the lock
# in threads of the event loop's own pool, they would keep everything else there from running.
_workers: WeakKeyDictionary[SentenceTransformer, ThreadPoolExecutor] = WeakKeyDictionary()


def _forget_threads() -> None:
    """Leave behind in a forked child what belongs to threads that did not come along: workers, and locks they held."""
    global _locks_guard
    _locks_guard = threading.Lock()
    _locks.clear()
    _workers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


def lock_for(model: SentenceTransformer) -> threading.RLock:
    """Return the one lock of a model object.

    A tokenizer's truncation and padding are shared state: two threads that encode with one model can silently get
    wrong vectors. Whoever calls ``encode`` from several threads holds this lock.
    """
    with _locks_guard:
        return _locks.setdefault(model, threading.RLock())


def _worker_for(model: SentenceTransformer) -> ThreadPoolExecutor:
    with _locks_guard:
        if model not in _workers:
            _workers[model] = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prompteol")
        return _workers[model]


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
        batch_size: texts per forward pass.
        truncate_dim: keep this many leading dimensions; ``None``: what the model itself says.
        show_progress: draw a progress bar.
        prompts: text put before the texts of a role, ``{"query": ..., "document": ...}``. A role left out or ``None``:
            the model's own prompt; ``""``: none.
        encode_kwargs: passed on to ``encode_query`` and ``encode_document``; they win over everything above.

    Raises:
        SettingError: ``model`` is none, an unknown role in ``prompts``, a size below 1, one of ``convert_to_tensor``,
            ``convert_to_numpy``, ``output_value`` and ``task``, which would change what comes back, or an 8-bit
            ``precision``.
    """

    model: SentenceTransformer
    normalize: bool = field(default=True, kw_only=True)
    batch_size: int = field(default=32, kw_only=True)
    truncate_dim: int | None = field(default=None, kw_only=True)
    show_progress: bool = field(default=False, kw_only=True)
    prompts: Mapping[str, str | None] | None = field(default=None, kw_only=True)
    encode_kwargs: Mapping[str, Any] | None = field(default=None, kw_only=True)
    notice: LongTextNotice = field(default_factory=LongTextNotice, kw_only=True, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not hasattr(self.model, "encode_query"):
            raise SettingError(
                f"model is {self.model!r:.60}, not a SentenceTransformer; load it first: PromptEOL({self.model!r:.60})"
            )
        for role in self.prompts or {}:
            _check_role(role)
        for name in ("batch_size", "truncate_dim"):
            size = getattr(self, name)
            if size is not None and size < 1:
                raise SettingError(f"{name}={size} is below 1")
        _check_encode_kwargs(self.encode_kwargs or {})

    def embed(self, texts: Sequence[str], role: Role) -> list[list[float]]:
        """Embed texts in a role, in their order.

        Args:
            texts: any strings, the empty one too; ``[]`` gives ``[]``.
            role: ``"query"`` or ``"document"``.

        Returns:
            One list of Python floats a text, of the model's dimension or ``truncate_dim``.

        Raises:
            InputError: a bare string where a list belongs, or an item that is not a string (with its index).
            SettingError: a role that does not exist, or ``truncate_dim`` is more than there is.
            NonFiniteError: a vector holds NaN or infinity.
        """
        _check_role(role)
        texts = _checked(texts)
        if not texts:
            return []
        encode = self.model.encode_query if role == "query" else self.model.encode_document
        with lock_for(self.model):
            self.notice.check(self.model, texts, role)
            options = self._encode_kwargs(role)
            # Integer precisions too become floats: stores and JSON take those.
            vectors = np.asarray(encode(texts, **options), dtype=np.float32)
        check_finite(vectors, texts)
        wanted = options["truncate_dim"]
        if wanted is not None and vectors.shape[1] < wanted and options.get("precision", "float32") == "float32":
            raise SettingError(f"truncate_dim={wanted}, but the model has {vectors.shape[1]} dimensions; lower it")
        floats: list[list[float]] = vectors.tolist()
        return floats

    async def aembed(self, texts: Sequence[str], role: Role) -> list[list[float]]:
        """Do what :meth:`embed` does in a thread of the model's own, while the event loop goes on."""
        work = partial(copy_context().run, self.embed, texts, role)
        return await asyncio.get_running_loop().run_in_executor(_worker_for(self.model), work)

    @property
    def fingerprint(self) -> str:
        """The model's fingerprint, for :func:`prompteol.index_safety.check_index`."""
        from prompteol import fingerprint

        return fingerprint(self.model)

    def _encode_kwargs(self, role: Role) -> dict[str, Any]:
        defaults: dict[str, Any] = {
            "batch_size": self.batch_size,
            "show_progress_bar": self.show_progress,
            "normalize_embeddings": self.normalize,
            "truncate_dim": self.truncate_dim,
        }
        given = dict(self.encode_kwargs or {})
        prompt = (self.prompts or {}).get(role)
        if prompt is not None and "prompt_name" not in given:
            defaults["prompt"] = prompt
        return {**defaults, **given}


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise SettingError(f"role {role!r} is none of {', '.join(map(repr, ROLES))}")


def _check_encode_kwargs(encode_kwargs: Mapping[str, Any]) -> None:
    if refused := sorted(_REFUSED & encode_kwargs.keys()):
        raise SettingError(
            f"encode_kwargs holds {', '.join(refused)}, but an embedder returns lists of floats, by role; remove it, "
            "or call model.encode_query and model.encode_document yourself"
        )
    precision = encode_kwargs.get("precision")
    if precision in ("int8", "uint8"):
        raise SettingError(
            f"encode_kwargs holds precision={precision!r}, whose steps are chosen anew from each call's texts: vectors "
            "of two calls cannot be compared; leave it out, and let the vector store quantise, or use 'binary'"
        )


def _checked(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, str):
        raise InputError(f"texts is the string {texts[:40]!r}, not a list of strings: write [text]")
    return as_texts(texts)[0]
