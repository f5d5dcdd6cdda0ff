"""``PromptEOLEmbedding``: a PromptEOL model, or any sentence-transformers model, behind LlamaIndex's interface."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Hashable
from functools import partial
from types import NoneType
from typing import TYPE_CHECKING, Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.storage.kvstore.types import BaseKVStore
from llama_index.embeddings.prompteol.cache import FingerprintedStore
from pydantic import computed_field

from prompteol.embedder import (
    EmbeddingServer,
    IndexGuard,
    LongTextNotice,
    ServedModel,
    ServerEmbedder,
    TextEmbedder,
    model_state,
)
from prompteol.errors import IndexMismatchError, SettingError

if TYPE_CHECKING:
    from typing import Self

    from sentence_transformers import SentenceTransformer

__all__ = ["PromptEOLEmbedding"]

Embedding = list[float]

# They belong to a process: handlers with open traces, a limiter's clock.
_NOT_PICKLED = frozenset({"callback_manager", "rate_limiter"})
# What a dump holds besides the fields.
_DUMPED = frozenset({"fingerprint", "class_name"})


class PromptEOLEmbedding(BaseEmbedding):
    """Embed queries and texts with a causal language model and a PromptEOL prompt.

    Texts are embedded as they are, vectors have length 1 unless ``normalize`` is off, and numbers come as Python
    floats. Async calls work in a thread of the model's own, so the event loop goes on. Errors
    are those of :mod:`prompteol.errors`; nothing is retried. Pickles by name where the model was loaded by name, and
    with the model where it came as an object; callbacks and the rate limiter stay behind.

    ``to_dict`` holds the fingerprint of the model as it is at that moment, so an ingestion cache never takes one
    model's vectors for another's. :meth:`for_index` does the same for an index.

    Args:
        model_name: folder or Hub name of a base language model, an adapter, or a saved PromptEOL model.
        model: the model object; left out, it is loaded from ``model_name``.
        kwargs: the fields below, and those of ``BaseEmbedding``.

    Raises:
        SettingError: there is no such argument.
        ModelError: there is no such model, or it is no causal language model.
        IndexMismatchError: made from a dump of another model.

    Examples:
        ``pip install llama-index-embeddings-prompteol``

        ```python
        from llama_index.embeddings.prompteol import PromptEOLEmbedding

        embed_model = PromptEOLEmbedding("facebook/opt-125m")
        ```
    """

    model_name: str = Field(default="unknown", frozen=True, description="Folder or Hub name of the model.")
    embed_batch_size: int = Field(default=1024, gt=0, le=2048, description="Texts handed over at a time.")
    encode_batch_size: int | None = Field(
        default=None,
        gt=0,
        description="Texts per forward pass; None: as many as the model itself takes, 256 for a PromptEOL.",
    )
    normalize: bool = Field(default=True, description="Scale vectors to length 1, after any cut.")
    truncate_dim: int | None = Field(default=None, gt=0, description="Keep this many leading dimensions.")
    query_instruction: str | None = Field(
        default=None, description='Text in front of a query; None: the model\'s own prompt, "": none.'
    )
    text_instruction: str | None = Field(
        default=None, description='Text in front of a document; None: the model\'s own prompt, "": none.'
    )
    show_progress_bar: bool = Field(default=False, description="Draw a progress bar.")
    model_kwargs: dict[str, Any] = Field(
        default_factory=dict,
        frozen=True,
        description='For prompteol.PromptEOL: template, layer, device, ... Keep to JSON values, "bfloat16" and not '
        "torch.bfloat16; a token belongs into the environment variable HF_TOKEN, since fields are dumped.",
    )

    endpoint: str | None = Field(
        default=None,
        frozen=True,
        description="URL of a server that computes the model's vectors, without weights here; key: PROMPTEOL_API_KEY.",
    )
    served_model: str | None = Field(
        default=None, frozen=True, description="What the server calls the model; None: model_name."
    )

    _model: Any = PrivateAttr()
    _loaded: Hashable = PrivateAttr(default=None)
    _guard: IndexGuard | None = PrivateAttr(default=None)
    _notice: LongTextNotice = PrivateAttr(default_factory=LongTextNotice)

    def __init__(self, model_name: str, *, model: SentenceTransformer | None = None, **kwargs: Any) -> None:
        self._refuse_unknown(kwargs)
        dumped = kwargs.pop("fingerprint", None)
        super().__init__(model_name=model_name, **kwargs)
        if self.endpoint is not None and not isinstance(model, (ServedModel, NoneType)):
            raise SettingError(f"endpoint={self.endpoint!r} beside model, which computes here: leave one of them out")
        if model is None and self.endpoint is not None:
            server = EmbeddingServer(self.endpoint, self.served_model or model_name)
            model = ServedModel(model_name, server, **self.model_kwargs)  # type: ignore[assignment]
            self._loaded = server.address
        elif model is None:
            from prompteol import PromptEOL

            model = PromptEOL(model_name, **self.model_kwargs)
            self._loaded = model_state(model)
        self._model = model
        self._embedder()
        if dumped is not None and dumped != (current := self.fingerprint):
            raise IndexMismatchError(
                f"the dump is of a model with the fingerprint {dumped}, and {model_name!r} has {current}: load the "
                "model that was dumped, in the same dtype, or take 'fingerprint' out of the dump"
            )
        if self.embeddings_cache is not None:
            # Which wraps it: a field given to pydantic's constructor is not assigned.
            self.embeddings_cache = self.embeddings_cache
            self._warn_if_tasks_differ()

    @classmethod
    def class_name(cls) -> str:
        """Name the class in serialized form."""
        return "PromptEOLEmbedding"

    @classmethod
    def from_sentence_transformer(
        cls, model: SentenceTransformer, *, model_name: str = "in-memory", **fields: Any
    ) -> PromptEOLEmbedding:
        """Wrap a model that is already in memory; it is shared, not copied.

        Args:
            model: a ``PromptEOL`` model, or any ``SentenceTransformer``.
            model_name: what to call it in dumps.
            fields: any other field of the class.
        """
        return cls(model_name, model=model, **fields)

    @computed_field(repr=False)  # type: ignore[prop-decorator]
    @property
    def fingerprint(self) -> str:
        """Hex digits over the model as it is now and the fields that decide vectors; every weight is read anew."""
        return self._embedder().fingerprint

    @property
    def dimension(self) -> int:
        """How many numbers a vector has, which is what a store has to be made for."""
        return self._embedder().dimension

    def for_index(self, index: str | os.PathLike[str] | Any, *, name: str = "", dimension: int | None = None) -> Self:
        """Return this embedding for one index, which is stamped when it is new and else must be its own.

        Give the result as ``embed_model``, when the index is built and when it is loaded. A model or a field that is
        changed afterward is noticed before the next text is embedded; an edit of a few single weights, when the index
        is opened.

        Args:
            index: the folder where the index lies or will lie (``persist_dir``, LanceDB's ``uri``), a Chroma
                collection, or a Qdrant client.
            name: the name of one of several indexes or tables in a folder; for a Qdrant client, of the collection.
            dimension: the dimension of the vectors that the index is made for, such as ``faiss_index.d``.

        Raises:
            IndexMismatchError: another model or other fields built it, or nothing says which.
            SettingError: no fingerprint can be stored there.
        """
        guarded = self.model_copy()
        guarded._guard = IndexGuard(index, name, dimension)
        guarded._embedder().check_guard()
        return guarded

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "embeddings_cache" and isinstance(value, BaseKVStore):
            value = FingerprintedStore(_store(value), self._embedder)
        super().__setattr__(name, value)

    def __copy__(self) -> Self:
        copied = super().__copy__()
        copied.embeddings_cache = copied.embeddings_cache
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # The store is shared: it may be a connection.
        copied = super().__deepcopy__({id(self.embeddings_cache): self.embeddings_cache, **(memo or {})})
        copied.embeddings_cache = copied.embeddings_cache
        return copied

    def _embedder(self) -> TextEmbedder:
        """Read the fields as they are now: all but name and arguments of the model may be assigned to."""
        embedder = ServerEmbedder if isinstance(self._model, ServedModel) else TextEmbedder
        return embedder(
            self._model,
            normalize=self.normalize,
            batch_size=self.encode_batch_size,
            truncate_dim=self.truncate_dim,
            show_progress=self.show_progress_bar,
            prompts={"query": self.query_instruction, "document": self.text_instruction},
            notice=self._notice,
            guard=self._guard,
        )

    def _get_query_embedding(self, query: str) -> Embedding:
        return self._embedder().embed([query], "query")[0]

    def _get_text_embedding(self, text: str) -> Embedding:
        return self._embedder().embed([text], "document")[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return self._embedder().embed(texts, "document")

    async def _aget_query_embedding(self, query: str) -> Embedding:
        return (await self._embedder().aembed([query], "query"))[0]

    async def _aget_text_embedding(self, text: str) -> Embedding:
        return (await self._embedder().aembed([text], "document"))[0]

    async def _aget_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return await self._embedder().aembed(texts, "document")

    @classmethod
    def _refuse_unknown(cls, given: dict[str, Any]) -> None:
        # BaseEmbedding's own configuration passes over what it does not know.
        if unknown := [name for name in given if name not in cls.model_fields and name not in _DUMPED]:
            raise SettingError(
                f"{cls.__name__} has no argument {unknown[0]!r}; it has model, {', '.join(cls.model_fields)}. What "
                f"prompteol.PromptEOL takes goes into model_kwargs={{{unknown[0]!r}: ...}}"
            )

    def _warn_if_tasks_differ(self) -> None:
        probe = "query or text"
        if self._get_query_embedding(probe) != self._get_text_embedding(probe):
            warnings.warn(
                "embeddings_cache keys by the text alone, and this model embeds a query and a text differently: "
                "a text that was cached for one task is served for the other. Leave the cache out, or use it for "
                "ingestion only.",
                UserWarning,
                stacklevel=3,
            )

    def __reduce__(self) -> tuple[Callable[..., PromptEOLEmbedding], tuple[()]]:
        """Pickle the fields, and the network only where no name can bring it back."""
        fields = {name: getattr(self, name) for name in type(self).model_fields if name not in _NOT_PICKLED}
        fields["embeddings_cache"] = _store(self.embeddings_cache)
        # A model that was changed since it was loaded is not the one that its name brings back.
        # What a server computes is never pickled, and never changed here.
        named = self._loaded is not None and (self.endpoint is not None or self._loaded == model_state(self._model))
        model = None if named else self._model
        return partial(type(self), **fields, model=model), ()


def _store(cache: Any) -> Any:
    return cache.store if isinstance(cache, FingerprintedStore) else cache
