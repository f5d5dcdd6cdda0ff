"""``PromptEOLEmbeddings``: a PromptEOL model, or any sentence-transformers model, behind LangChain's interface."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from functools import partial
from types import NoneType
from typing import TYPE_CHECKING, Any

from langchain_core.embeddings import Embeddings
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from prompteol.embedder import (
    EmbeddingServer,
    IndexGuard,
    LongTextNotice,
    ServedModel,
    ServerEmbedder,
    TextEmbedder,
    model_state,
)
from prompteol.errors import SettingError

if TYPE_CHECKING:
    from typing import Self

    from sentence_transformers import SentenceTransformer

__all__ = ["PromptEOLEmbeddings"]


class PromptEOLEmbeddings(BaseModel, Embeddings):
    """Embed queries and documents with a causal language model and a PromptEOL prompt.

    Setup:
        ``pip install langchain-prompteol``. No key. A gated model needs the environment variable ``HF_TOKEN``; a token
        in ``model_kwargs`` would end up in dumps and in ``repr``.

    Key init args:
        model: folder or Hub name of a base language model, an adapter, or a saved PromptEOL model.
        model_kwargs: for ``prompteol.PromptEOL``: ``template``, ``layer``, ``device``, ``revision``, ...
        query_prompt, document_prompt: text in front of queries and documents. ``None``: the model's own; ``""``: none.
        encode_kwargs: for ``encode_query`` and ``encode_document``; they win over the fields above.
        query_encode_kwargs: merged over ``encode_kwargs`` for queries.

    Instantiate:
        .. code-block:: python

            from langchain_prompteol import PromptEOLEmbeddings

            embeddings = PromptEOLEmbeddings(model="facebook/opt-125m")

    Embed single text:
        .. code-block:: python

            vector = embeddings.embed_query("Who plays the guitar?")

    Embed multiple texts:
        .. code-block:: python

            vectors = embeddings.embed_documents(["A man plays the guitar.", "A woman rides a horse."])

    Index, stamped when it is new and checked when it is opened:
        .. code-block:: python

            store = Chroma(persist_directory="index", embedding_function=embeddings.for_index("index"))

    Async:
        .. code-block:: python

            vector = await embeddings.aembed_query("Who plays the guitar?")

        The work runs in a thread of the model's own, so the event loop goes on.

    Texts are embedded as they are, vectors have length 1 unless ``normalize_embeddings`` is off, and numbers come as
    Python floats. Errors are those of :mod:`prompteol.errors`; nothing is retried. Pickles by name where the model was
    loaded by name, and with the model where it came as an object.
    """

    model_config = ConfigDict(
        extra="forbid", populate_by_name=True, protected_namespaces=(), arbitrary_types_allowed=True
    )

    model_name: str = Field(alias="model", frozen=True)
    """Folder or Hub name of the model."""
    model_kwargs: dict[str, Any] = Field(default_factory=dict, frozen=True)
    """For ``prompteol.PromptEOL``. Keep to JSON values, ``"bfloat16"`` and not ``torch.bfloat16``."""
    encode_kwargs: dict[str, Any] = Field(default_factory=dict)
    """For ``encode_query`` and ``encode_document``; ``{"device": ["cuda:0", "cuda:1"]}`` spreads over GPUs."""
    query_encode_kwargs: dict[str, Any] | None = None
    """Merged over ``encode_kwargs`` for queries."""
    query_prompt: str | None = None
    """Text in front of a query; ``None``: the model's own, ``""``: none."""
    document_prompt: str | None = None
    """Text in front of a document; ``None``: the model's own, ``""``: none."""
    normalize_embeddings: bool = True
    """Scale vectors to length 1, after any cut."""
    batch_size: int | None = Field(default=None, gt=0)
    """Texts per forward pass; ``None``: as many as the model itself takes, 256 for a ``PromptEOL``."""
    truncate_dim: int | None = Field(default=None, gt=0)
    """Keep this many leading dimensions."""
    show_progress: bool = False
    """Draw a progress bar."""
    endpoint: str | None = Field(default=None, frozen=True)
    """URL of a server that computes the model's vectors; no weights are loaded here. Key: PROMPTEOL_API_KEY."""
    served_model: str | None = Field(default=None, frozen=True)
    """What the server calls the model; left out, the name is ``model_name``."""
    client: Any = Field(default=None, exclude=True, repr=False)
    """The model object; left out, it is loaded from ``model_name``."""

    _loaded: Hashable = PrivateAttr(default=None)
    _guard: IndexGuard | None = PrivateAttr(default=None)
    _notice: LongTextNotice = PrivateAttr(default_factory=LongTextNotice)

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        # Here and not in a validator, which would turn our typed errors into pydantic's.
        if self.endpoint is not None and not isinstance(self.client, (ServedModel, NoneType)):
            raise SettingError(f"endpoint={self.endpoint!r} beside client, which computes here: leave one of them out")
        if self.client is None and self.endpoint is not None:
            server = EmbeddingServer(self.endpoint, self.served_model or self.model_name)
            self.client = ServedModel(self.model_name, server, **self.model_kwargs)
            self._loaded = self.client.server.address
        elif self.client is None:
            from prompteol import PromptEOL

            self.client = PromptEOL(self.model_name, **self.model_kwargs)
            self._loaded = model_state(self.client)
        self._embedder()

    @classmethod
    def from_sentence_transformer(
        cls, model: SentenceTransformer, *, model_name: str = "in-memory", **fields: Any
    ) -> PromptEOLEmbeddings:
        """Wrap a model that is already in memory; it is shared, not copied.

        Args:
            model: a ``PromptEOL`` model, or any ``SentenceTransformer``.
            model_name: what to call it in dumps.
            fields: any other field of the class.
        """
        return cls(model_name=model_name, client=model, **fields)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed documents: one list of floats each, in their order; ``[]`` gives ``[]``.

        Raises:
            prompteol.errors.InputError: a bare string, or an item that is not a string.
        """
        return self._embedder().embed(texts, "document")

    def embed_query(self, text: str) -> list[float]:
        """Embed one query.

        Raises:
            prompteol.errors.InputError: not a string.
        """
        return self._embedder().embed([text], "query")[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Do what :meth:`embed_documents` does in the model's own thread; a call that still waits can be canceled."""
        return await self._embedder().aembed(texts, "document")

    async def aembed_query(self, text: str) -> list[float]:
        """Do what :meth:`embed_query` does in the model's own thread; a call that still waits can be canceled."""
        return (await self._embedder().aembed([text], "query"))[0]

    @property
    def fingerprint(self) -> str:
        """Hex digits over the model as it is now and the fields that decide vectors; every weight is read anew."""
        return self._embedder().fingerprint

    @property
    def dimension(self) -> int:
        """How many numbers a vector has, which is what a store has to be made for."""
        return self._embedder().dimension

    def for_index(self, index: str | os.PathLike[str] | Any, *, name: str = "", dimension: int | None = None) -> Self:
        """Return these embeddings for one index, which is stamped when it is new and else must be theirs.

        Give the result to the vector store, when it is created and when it is opened. A model or a field that is
        changed afterward is noticed before the next text is embedded; an edit of a few single weights, when the index
        is opened.

        Args:
            index: the folder or file where the index lies or will lie, a Chroma collection, or a Qdrant client.
            name: the name of one of several collections or tables in a folder; for a Qdrant client, of the collection.
            dimension: the dimension of the vectors that the index is made for, such as ``faiss_index.d``.

        Raises:
            prompteol.errors.IndexMismatchError: another model or other fields built it, or nothing says which.
            prompteol.errors.SettingError: no fingerprint can be stored there.
        """
        guarded = self.model_copy()
        guarded._guard = IndexGuard(index, name, dimension)
        guarded._embedder().check_guard()
        return guarded

    def _embedder(self) -> TextEmbedder:
        """Read the fields as they are now: all but name and arguments of the model may be assigned to."""
        embedder = ServerEmbedder if isinstance(self.client, ServedModel) else TextEmbedder
        return embedder(
            self.client,
            normalize=self.normalize_embeddings,
            batch_size=self.batch_size,
            truncate_dim=self.truncate_dim,
            show_progress=self.show_progress,
            prompts={"query": self.query_prompt, "document": self.document_prompt},
            encode_kwargs=self.encode_kwargs,
            query_encode_kwargs=self.query_encode_kwargs,
            notice=self._notice,
            guard=self._guard,
        )

    def __reduce__(self) -> tuple[Callable[..., PromptEOLEmbeddings], tuple[()]]:
        """Pickle the fields, and the network only where no name can bring it back."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        # What a server computes is never pickled, and never changed here.
        if self._loaded is not None and (self.endpoint is not None or self._loaded == model_state(self.client)):
            del fields["client"]
        return partial(type(self), **fields), ()
