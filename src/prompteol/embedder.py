"""Texts in, plain lists of floats out: what every framework's adapter needs, with no framework in it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args
from weakref import WeakKeyDictionary

import numpy as np

from prompteol.errors import InputError, SettingError
from prompteol.long_texts import LongTextNotice
from prompteol.prompts import Role

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["TextEmbedder", "lock_for"]

_ROLES: tuple[Role, ...] = get_args(Role)
# They decide what `encode` returns, and an embedder returns lists of floats.
_REFUSED = frozenset({"convert_to_tensor", "convert_to_numpy", "output_value"})

# Outside the models, so that pickling or copying one never meets a lock.
_locks: WeakKeyDictionary[SentenceTransformer, threading.RLock] = WeakKeyDictionary()
_locks_guard = threading.Lock()


def lock_for(model: SentenceTransformer) -> threading.RLock:
    """Return the one lock of a model object.

    A tokenizer's truncation and padding are shared state: two threads that encode with one model can silently get
    wrong vectors. Whoever calls ``encode`` from several threads holds this lock.
    """
    with _locks_guard:
        return _locks.setdefault(model, threading.RLock())


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
        SettingError: an unknown role in ``prompts``, a size below 1, one of ``convert_to_tensor``,
            ``convert_to_numpy`` and ``output_value``, which would change what comes back, or an 8-bit ``precision``.
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
            SettingError: a role that does not exist.
        """
        _check_role(role)
        texts = _checked(texts)
        if not texts:
            return []
        encode = self.model.encode_query if role == "query" else self.model.encode_document
        with lock_for(self.model):
            self.notice.check(self.model, texts)
            vectors = encode(texts, **self._encode_kwargs(role))
        # Integer precisions too become floats: stores and JSON take those.
        floats: list[list[float]] = np.asarray(vectors, dtype=np.float32).tolist()
        return floats

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
    if role not in _ROLES:
        raise SettingError(f"role {role!r} is none of {', '.join(map(repr, _ROLES))}")


def _check_encode_kwargs(encode_kwargs: Mapping[str, Any]) -> None:
    if refused := sorted(_REFUSED & encode_kwargs.keys()):
        raise SettingError(
            f"encode_kwargs holds {', '.join(refused)}, but an embedder returns lists of floats; remove it, "
            "or call model.encode_query and model.encode_document yourself"
        )
    precision = encode_kwargs.get("precision")
    if precision in ("int8", "uint8"):
        raise SettingError(
            f"encode_kwargs holds precision={precision!r}, whose steps are chosen anew from each call's texts: vectors "
            "of two calls cannot be compared; leave it out, and let the vector store quantise, or use 'binary'"
        )


def _checked(texts: Sequence[str]) -> list[str]:
    from prompteol.checks import check_texts

    if isinstance(texts, str):
        raise InputError(f"texts is the string {texts[:40]!r}, not a list of strings: write [text]")
    texts = list(texts)
    check_texts(texts)
    return texts
