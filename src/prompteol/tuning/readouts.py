"""Fit read-outs on the vectors of one layer, and tell which of a registry's suit a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from prompteol.errors import InputError, ModelError, SettingError
from prompteol.techniques.fitting import FitInputs
from prompteol.techniques.registry import describe_technique

if TYPE_CHECKING:
    from torch import Tensor

    from prompteol.techniques import LinearMap, Readout


class LayerVectors(FitInputs):
    """Offer the vectors of one layer, which a forward has given already, to be fitted on."""

    def __init__(self, model: Any, texts: Sequence[str], vectors: Tensor) -> None:
        super().__init__(model, texts)
        self._given = vectors.detach().cpu().double()

    @property
    def vectors(self) -> Tensor:
        """The vectors given, (texts, width)."""
        return self._given

    @property
    def unembedding(self) -> Tensor:
        """The weight of the LM head."""
        weight: Tensor = self._model.head.unembedding.detach().cpu()
        if weight.shape[1] != self._given.shape[1]:
            raise SettingError(f"the LM head reads states of {weight.shape[1]} dimensions, not these vectors")
        return weight


class ReadoutFitter:
    """Fit each read-out on the vectors of a layer, and remember why one does not fit.

    Args:
        model: a ``PromptEOL``.
        readouts: the read-outs, by the name and options that describe each.
        texts: to be fitted on; ``None``: the sentences of the pairs, without their scores.
        everywhere: fit at every layer, not only where the prompt alone does best and at the last one.
    """

    def __init__(
        self, model: Any, readouts: Sequence[Readout], texts: Sequence[str] | None = None, *, everywhere: bool = False
    ) -> None:
        self._model = model
        self.readouts = {describe_technique(one): one for one in readouts}
        self.texts = None if texts is None else list(dict.fromkeys(texts))
        self.everywhere = everywhere
        self.unfit: dict[str, str] = {}

    @cached_property
    def key(self) -> str:
        """Name in one line what is fitted, on what and where; a file of results tells such work apart by it."""
        parts = list(self.readouts)
        if self.texts is not None:
            parts.append("on " + hashlib.sha256(json.dumps(self.texts).encode()).hexdigest()[:16])
        return " ".join([*parts, "everywhere"] if self.everywhere else parts)

    def fit(self, name: str, texts: Sequence[str], vectors: Tensor) -> LinearMap | None:
        """Return the map of a read-out, in float32, or ``None`` where it cannot be fitted on these vectors."""
        try:
            fitted = self.readouts[name].fit(LayerVectors(self._model, texts, vectors))
        except (InputError, ModelError, SettingError) as error:
            self.unfit.setdefault(name, str(error))
            return None
        single = type(fitted)(*(part.to(torch.float32) for part in fitted))
        return single if all(bool(part.isfinite().all()) for part in single) else None
