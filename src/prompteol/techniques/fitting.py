"""Fit a linear read-out on texts without labels, and put it behind the model as a ``Dense``."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import torch
from sentence_transformers.base.modules import Dense
from torch import Tensor, nn

from prompteol.errors import InputError, SettingError
from prompteol.model.settable import SettableModel
from prompteol.techniques.protocol import LinearMap, Readout, Technique
from prompteol.techniques.registry import describe_technique, resolve_techniques
from prompteol.validation import as_texts


class FitInputs:
    """Offer what a read-out may be fitted on; nothing is computed before it is asked for."""

    def __init__(self, model: Any, texts: Iterable[str] | None) -> None:
        self._model = model
        self.texts = [] if texts is None else list(dict.fromkeys(as_texts(texts)[0]))
        #: The map of the read-outs before this one.
        self.map: LinearMap | None = None

    @property
    def vectors(self) -> Tensor:
        """The embeddings of the texts without repetitions, (texts, width) in float64 on the CPU."""
        return self._encoded if self.map is None else self.map(self._encoded)

    @cached_property
    def _encoded(self) -> Tensor:
        whole = self._model.full_dimension
        vectors: Tensor = self._model.encode(self.texts, convert_to_tensor=True, truncate_dim=whole)
        return vectors.cpu().double()

    @property
    def unembedding(self) -> Tensor:
        """The weight of the LM head, (vocabulary, width), on the CPU."""
        weight: Tensor = self._model.head.unembedding.detach().cpu()
        if self.map is not None or weight.shape[1] != self._model.full_dimension:
            raise SettingError(
                f"the LM head reads states of {weight.shape[1]} dimensions, not these vectors: give the read-out that "
                "needs it first"
            )
        return weight


def fit_readout(
    model: SettableModel,
    texts: Iterable[str] | None = None,
    technique: str | Technique | Iterable[str | Technique] = "whitening",
) -> None:
    """Fit a read-out, and put it behind the model: from then on ``encode`` gives its vectors.

    It is one matrix and costs no token. ``save`` writes it as a ``Dense`` of the portable form. It belongs to the
    prompt and the layer that the model has now: set those first.

    Args:
        model: a ``PromptEOL``; changed in place.
        texts: without labels, like those that will be embedded; not those of an evaluation. Repetitions count once.
        technique: the name of a read-out, such as ``"whitening:power=0.5"``, its configuration, or several, which
            follow each other and become one matrix.

    Raises:
        SettingError: there is no such read-out, it needs texts, or the model has a read-out already.
        InputError: the texts are too few.
    """
    readouts = resolve_techniques(technique)
    if "readout" in model.provenance:
        raise SettingError(
            f"this model has a read-out already ({model.provenance['readout']}): load it anew, and give several "
            'at once, as in fit_readout(model, texts, ["all-but-the-top", "whitening"])'
        )
    inputs = FitInputs(model, texts)
    for readout in readouts:
        if not isinstance(readout, Readout):
            raise SettingError(f"{describe_technique(readout)} is no read-out: give it to PromptEOL(technique=...)")
        if readout.needs_texts and not inputs.texts:
            raise SettingError(f"{describe_technique(readout)} is fitted on texts: fit_readout(model, texts, ...)")
        fitted = readout.fit(inputs)
        if not all(bool(part.isfinite().all()) for part in fitted):
            raise InputError(f"the read-out fitted on {len(inputs.texts)} texts is not finite: give more texts")
        inputs.map = fitted if inputs.map is None else inputs.map.then(fitted)
    if inputs.map is None:
        raise SettingError("no technique was given: name a read-out, such as 'whitening'")
    model.append(_dense(inputs.map, next(model.module.transformer.model.parameters())))
    how = ", ".join(map(describe_technique, readouts))
    fitted_on = f", fitted on {len(inputs.texts)} texts" if inputs.texts else ""
    model.provenance = {**model.provenance, "readout": how + fitted_on}
    # Results would be filed under the revision of the vectors before.
    model.model_card_data.base_model_revision = None


def _dense(fitted: LinearMap, like: Tensor) -> Dense:
    dtype = like.dtype if like.dtype.is_floating_point else torch.float32
    weight, bias = (part.to(device=like.device, dtype=dtype).contiguous() for part in fitted)
    dimension, width = weight.shape
    return Dense(width, dimension, activation_function=nn.Identity(), init_weight=weight, init_bias=bias)
