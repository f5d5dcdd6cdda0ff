"""The dimension that vectors are cut to is one that they have."""

from __future__ import annotations

from sentence_transformers import SentenceTransformer

from prompteol.checks import check_dimension

__all__ = ["CheckedDimension"]


class CheckedDimension(SentenceTransformer):
    """Refuse a ``truncate_dim`` that would give empty vectors, or all of them but their end."""

    @property
    def truncate_dim(self) -> int | None:
        """The dimension that vectors are cut to; ``None``: they are not."""
        return self._truncate_dim

    @truncate_dim.setter
    def truncate_dim(self, dimension: int | None) -> None:
        # sentence-transformers sets it first of all, before there are modules.
        check_dimension(dimension, self.full_dimension if "_modules" in self.__dict__ else None)
        self._truncate_dim = dimension

    @property
    def full_dimension(self) -> int:
        """The dimension of vectors that are not cut."""
        found = (getattr(module, "get_embedding_dimension", None) for module in reversed(list(self.children())))
        return next(int(dimension()) for dimension in found if callable(dimension))
