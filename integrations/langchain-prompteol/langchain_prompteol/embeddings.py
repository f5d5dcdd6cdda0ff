"""``PromptEOLEmbeddings``: a PromptEOL model, or any sentence-transformers model, behind LangChain's interface."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from langchain_core.embeddings import Embeddings
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from prompteol.embedder import TextEmbedder
from prompteol.inference import weights_sample
from prompteol.long_texts import LongTextNotice

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from prompteol.prompts import Role

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
    batch_size: int = Field(default=32, gt=0)
    """Texts per forward pass."""
    truncate_dim: int | None = Field(default=None, gt=0)
    """Keep this many leading dimensions."""
    show_progress: bool = False
    """Draw a progress bar."""
    client: Any = Field(default=None, exclude=True, repr=False)
    """The model object; left out, it is loaded from ``model_name``."""

    _loaded: tuple[Any, ...] | None = PrivateAttr(default=None)
    _notice: LongTextNotice = PrivateAttr(default_factory=LongTextNotice)

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        # Here and not in a validator, which would turn our typed errors into pydantic's.
        if self.client is None:
            from prompteol import PromptEOL

            self.client = PromptEOL(self.model_name, **self.model_kwargs)
            self._loaded = self._model_as_it_is()
        for role in ("query", "document"):
            self._embedder(role)

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
        return self._embedder("document").embed(texts, "document")

    def embed_query(self, text: str) -> list[float]:
        """Embed one query.

        Raises:
            prompteol.errors.InputError: not a string.
        """
        return self._embedder("query").embed([text], "query")[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Do what :meth:`embed_documents` does in the model's own thread; a call that still waits can be cancelled."""
        return await self._embedder("document").aembed(texts, "document")

    async def aembed_query(self, text: str) -> list[float]:
        """Do what :meth:`embed_query` does in the model's own thread; a call that still waits can be cancelled."""
        return (await self._embedder("query").aembed([text], "query"))[0]

    @property
    def fingerprint(self) -> str:
        """The model's fingerprint, for :func:`prompteol.index_safety.check_index`."""
        return self._embedder("document").fingerprint

    def _embedder(self, role: Role) -> TextEmbedder:
        """Read the fields as they are now: all but name and arguments of the model may be assigned to."""
        for_queries = self.query_encode_kwargs if role == "query" else None
        return TextEmbedder(
            self.client,
            normalize=self.normalize_embeddings,
            batch_size=self.batch_size,
            truncate_dim=self.truncate_dim,
            show_progress=self.show_progress,
            prompts={"query": self.query_prompt, "document": self.document_prompt},
            encode_kwargs={**self.encode_kwargs, **(for_queries or {})},
            notice=self._notice,
        )

    def __reduce__(self) -> tuple[Callable[..., PromptEOLEmbeddings], tuple[()]]:
        """Pickle the fields, and the network only where no name can bring it back."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        if self._loaded == self._model_as_it_is():
            del fields["client"]
        return partial(type(self), **fields), ()

    def _model_as_it_is(self) -> tuple[Any, ...]:
        """Return what may have been changed since the model was loaded, so that its name no longer brings it back."""
        settings = ("template", "layer", "max_seq_length", "truncate_dim", "default_prompt_name")
        values = (getattr(self.client, name, None) for name in settings)
        return self.client, weights_sample(self.client), dict(self.client.prompts), *values
