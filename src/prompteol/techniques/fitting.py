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

__all__ = ["fit_readout"]


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
    inputs = _Inputs(model, None if texts is None else as_texts(texts)[0])
    for readout in readouts:
        if not isinstance(readout, Readout):
            raise SettingError(f"{describe_technique(readout)} is no read-out: give it to PromptEOL(technique=...)")
        if readout.needs_texts and not inputs.texts:
            raise SettingError(
                f"{describe_technique(readout)} is fitted on texts: fit_readout(model, texts, technique); on the "
                "command line create --technique ... --texts FILE"
            )
        inputs.add(readout.fit(inputs))
    if inputs.map is None:
        raise SettingError("no technique was given: name a read-out, such as 'whitening'")
    model.append(_dense(inputs.map, model.module.transformer.model))
    how = ", ".join(map(describe_technique, readouts))
    fitted = f", fitted on {len(inputs.texts)} texts" if any(one.needs_texts for one in readouts) else ""  # type: ignore[attr-defined]
    model.provenance = {**model.provenance, "readout": how + fitted}
    # Results would be filed under the revision of the vectors before.
    model.model_card_data.base_model_revision = None


class _Inputs:
    """Embed the texts once, and hand their vectors to one read-out after another."""

    def __init__(self, model: SettableModel, texts: list[str] | None) -> None:
        self._model = model
        self.texts = list(dict.fromkeys(texts or ()))
        self.map: LinearMap | None = None

    @property
    def vectors(self) -> Tensor:
        """Return (texts, width), mapped by the read-outs before."""
        return self._encoded if self.map is None else self.map(self._encoded)

    @cached_property
    def _encoded(self) -> Tensor:
        options: dict[str, Any] = {"convert_to_tensor": True, "truncate_dim": self._model.full_dimension}
        vectors: Tensor = self._model.encode(self.texts, **options)
        return vectors.cpu().double()

    @property
    def unembedding(self) -> Tensor:
        """Return the weight of the LM head, (vocabulary, width).

        Raises:
            SettingError: a read-out before has taken the vectors out of the space of the states.
        """
        weight: Tensor = self._model.head.unembedding.detach().cpu()  # type: ignore[attr-defined]
        if self.map is not None or weight.shape[1] != self._model.full_dimension:
            raise SettingError(
                f"the LM head reads states of {weight.shape[1]} dimensions, not these vectors: give the read-out that "
                "needs it first"
            )
        return weight

    def add(self, fitted: LinearMap) -> None:
        """Let a map follow those before."""
        if not all(bool(part.isfinite().all()) for part in fitted):
            raise InputError(f"the read-out fitted on {len(self.texts)} texts is not finite: give more texts")
        self.map = fitted if self.map is None else self.map.then(fitted)


def _dense(fitted: LinearMap, backbone: nn.Module) -> Dense:
    like = next(backbone.parameters())
    dtype = like.dtype if like.dtype.is_floating_point else torch.float32
    weight, bias = (part.to(device=like.device, dtype=dtype).contiguous() for part in fitted)
    dimension, width = weight.shape
    return Dense(width, dimension, activation_function=nn.Identity(), init_weight=weight, init_bias=bias)
