"""Keep the cached vectors of each model, and of each choice of an adapter's fields, apart in one key-value store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llama_index.core.storage.kvstore.types import BaseKVStore

from prompteol.embedder import TextEmbedder


class FingerprintedStore(BaseKVStore):
    """Name collections of another store by the fingerprint: ``BaseEmbedding`` looks a vector up by the text alone.

    Args:
        store: where the vectors lie.
        embedder: returns the embedder with the adapter's fields as they are now; its fingerprint, which reads every
            weight, is computed again when the model or a field has changed.
    """

    def __init__(self, store: BaseKVStore, embedder: Callable[[], TextEmbedder]) -> None:
        self.store = store
        self._embedder = embedder
        self._state: Any = None
        self._fingerprint = ""

    def _named(self, collection: str) -> str:
        embedder = self._embedder()
        state = embedder.state(), embedder
        if state != self._state:
            self._state, self._fingerprint = state, embedder.fingerprint
        return f"{collection}-{self._fingerprint}"

    def put(self, key: str, val: dict[str, Any], collection: str = "data") -> None:
        """Keep a value."""
        self.store.put(key, val, self._named(collection))

    async def aput(self, key: str, val: dict[str, Any], collection: str = "data") -> None:
        """Keep a value."""
        await self.store.aput(key, val, self._named(collection))

    def get(self, key: str, collection: str = "data") -> dict[str, Any] | None:
        """Return what was kept for this model and these fields."""
        return self.store.get(key, self._named(collection))

    async def aget(self, key: str, collection: str = "data") -> dict[str, Any] | None:
        """Return what was kept for this model and these fields."""
        return await self.store.aget(key, self._named(collection))

    def get_all(self, collection: str = "data") -> dict[str, dict[str, Any]]:
        """Return all that was kept for this model and these fields."""
        return self.store.get_all(self._named(collection))

    async def aget_all(self, collection: str = "data") -> dict[str, dict[str, Any]]:
        """Return all that was kept for this model and these fields."""
        return await self.store.aget_all(self._named(collection))

    def delete(self, key: str, collection: str = "data") -> bool:
        """Forget what was kept for this model and these fields; tell whether there was something."""
        return self.store.delete(key, self._named(collection))

    async def adelete(self, key: str, collection: str = "data") -> bool:
        """Forget what was kept for this model and these fields; tell whether there was something."""
        return await self.store.adelete(key, self._named(collection))
