"""Load an exported folder again, in each way that it will be loaded, and compare rows and vectors with the model's."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from prompteol.tokenization import TokenRows
from prompteol.vectors import unit

Vectors = NDArray[np.float32]
Rows = list[list[int]]


@dataclass(frozen=True)
class ExportComparison:
    """Hold how the texts of one kind fare, loaded in one way.

    Args:
        loaded: the way, such as ``tokenizers`` or ``AutoTokenizer``.
        kind: ``ordinary``, ``cut``, ``blank`` or ``special``.
        texts: how many there are.
        identical: the share whose token rows are the model's own.
        lowest_cosine, median_cosine: to the model's own vectors.
        difference: the largest between entries of unit vectors.
    """

    loaded: str
    kind: str
    texts: int
    identical: float
    lowest_cosine: float
    median_cosine: float
    difference: float


def compared(loaded: str, kind: str, rows: tuple[Rows, Rows], vectors: tuple[Vectors, Vectors]) -> ExportComparison:
    """Compare rows and vectors, each a pair of the model's own and those found."""
    ours, theirs = (unit(matrix, np.float64) for matrix in vectors)
    cosine = (ours * theirs).sum(axis=1)
    same = sum(one == other for one, other in zip(*rows, strict=True)) / len(rows[0])
    figures = float(cosine.min()), float(np.median(cosine)), float(np.abs(ours - theirs).max())
    return ExportComparison(loaded, kind, len(cosine), same, *figures)


class Reloaded:
    """Load an exported folder with stock libraries."""

    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype) -> None:
        # transformers warns at each load that a key which older versions need has a new name.
        logger = logging.getLogger("sentence_transformers")
        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            self._model = SentenceTransformer(
                str(folder), device=str(device), model_kwargs={"dtype": dtype}, local_files_only=True
            )
        finally:
            logger.setLevel(level)

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer that stock sentence-transformers reads, through ``AutoTokenizer``."""
        return self._model.tokenizer  # type: ignore[no-any-return]

    def vectors(self, rows: Sequence[Sequence[int]]) -> Vectors:
        """Return the vectors of token rows."""
        pad = self.tokenizer.pad_token_id or 0
        found = []
        with torch.inference_mode():
            for start in range(0, len(rows), 8):
                features: Any = TokenRows(rows[start : start + 8], (), pad).padded()
                features = {name: tensor.to(self._model.device) for name, tensor in features.items()}
                found.append(self._model(features)["sentence_embedding"].float().cpu().numpy())
        return np.concatenate(found)


def rows_of_tokenizers(tokenizer: Tokenizer, texts: Sequence[str], max_length: int) -> Rows:
    """Return the rows that the library ``tokenizers`` makes of plain texts."""
    tokenizer.enable_truncation(max_length)
    return [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]


def rows_of_auto_tokenizer(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int) -> Rows:
    """Return the rows that a tokenizer of transformers makes of plain texts."""
    return [list(ids) for ids in tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"]]


def auto_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Read a folder's tokenizer as servers do."""
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    return tokenizer


def table(comparisons: Sequence[ExportComparison]) -> list[tuple[str, ...]]:
    """Return the rows of a table of comparisons, its header first."""
    rows: list[tuple[str, ...]] = [("loaded by", "texts", "count", "identical rows", "lowest cosine", "difference")]
    for one in comparisons:
        figures = f"{one.identical:.0%}", f"{one.lowest_cosine:.6f}", f"{one.difference:.1e}"
        rows.append((one.loaded, one.kind, str(one.texts), *figures))
    return rows
