"""Usage that mypy checks: ``encode`` has the overloads of ``SentenceTransformer``."""

from typing import Any, TypeAlias, assert_type

import numpy as np
from torch import Tensor

from prompteol import PromptEOL, Word

Vectors: TypeAlias = "np.ndarray[tuple[Any, ...], np.dtype[Any]]"


def embed(model: PromptEOL, texts: list[str]) -> None:
    """State the type of each kind of call."""
    assert_type(model.encode("a"), Vectors)
    assert_type(model.encode(texts), Vectors)
    assert_type(model.encode(texts, convert_to_tensor=True), Tensor)
    assert_type(model.encode("a", convert_to_numpy=False), Tensor)
    assert_type(model.encode_query("a"), Vectors)
    assert_type(model.encode_document(texts, convert_to_tensor=True), Tensor)
    assert_type(model.words("a"), list[Word])
    assert_type(model.words(texts), list[list[Word]])
