"""Embed chunks of rows, and find the rows whose vectors are not finite."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prompteol.corpus.manifest import Settings
from prompteol.embedder import LongTextNotice, lock_for
from prompteol.embedder.encode_files import task_vectors
from prompteol.errors import NonFiniteError, SettingError
from prompteol.validation import check_finite

_HALF_MAX = 65504.0


class CorpusEncoder:
    """Encode texts with the settings of a corpus; ``count`` gets the number of rows and tokens of each forward."""

    def __init__(self, model: Any, settings: Settings, count: Callable[[int, int], None] | None = None) -> None:
        self.model = model
        self._settings = settings
        self._count = count
        self._notice = LongTextNotice()

    def vectors(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], list[int]]:
        """Return the finite vectors, and the indices of the texts whose vectors are not finite."""
        with lock_for(self.model), self._counted():
            self._notice.check(self.model, texts, self._settings.task)
            found = list(self._finite(list(texts), 0)) if texts else []
        whole = [vectors for _, vectors in found if vectors is not None]
        faults = [index for index, vectors in found if vectors is None]
        return np.concatenate(whole) if whole else np.empty((0, 0), dtype=np.float32), faults

    def _finite(self, texts: list[str], first: int) -> Iterator[tuple[int, NDArray[np.float32] | None]]:
        """Yield (index, vectors), or ``None`` for a text without a finite vector; halve a batch until it is found."""
        try:
            vectors = self._encode(texts)
            check_finite(vectors, texts)
            yield first, vectors
        except NonFiniteError:
            if len(texts) == 1:
                yield first, None
                return
            half = len(texts) // 2
            yield from self._finite(texts[:half], first)
            yield from self._finite(texts[half:], first + half)

    def _encode(self, texts: list[str]) -> NDArray[np.float32]:
        wanted, size = self._settings.truncate_dim, self._settings.batch_size
        given = {} if size is None else {"batch_size": size}
        vectors = task_vectors(
            self.model, texts, self._settings.task, normalize_embeddings=self._settings.normalize, truncate_dim=wanted,
            **given,
        )  # fmt: skip
        if wanted is not None and vectors.shape[1] < wanted:
            raise SettingError(f"truncate_dim={wanted}, but the model has {vectors.shape[1]} dimensions; lower it")
        if self._settings.precision == "float16":
            # A number that half precision cannot hold becomes infinite there.
            vectors = np.where(np.abs(vectors) > _HALF_MAX, np.float32(np.inf), vectors)
        return vectors

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count the rows and tokens that pass through the first module, which every sentence-transformers model has."""
        if self._count is None or not hasattr(self.model, "__getitem__"):
            yield
            return
        count = self._count

        def tell(module: Any, arguments: tuple[Any, ...]) -> None:
            features = arguments[0] if arguments and isinstance(arguments[0], dict) else {}
            if "token_rows" in features:
                found = features["token_rows"]
                # A technique may run several prompts per text, one row each.
                prompts = found if isinstance(found, list) else [found]
                count(len(prompts[0].rows), sum(len(row) for one in prompts for row in one.rows))
            elif "attention_mask" in features:
                count(len(features["attention_mask"]), int(features["attention_mask"].count_nonzero()))

        handle = self.model[0].register_forward_pre_hook(tell)
        try:
            yield
        finally:
            handle.remove()
