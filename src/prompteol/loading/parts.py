"""Hold what a user asks of a model, and the pieces of one that was loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from prompteol.model import ModelSource
from prompteol.model.module import Engine, PromptEOLModule
from prompteol.prompts import Demonstration, NormalizationMode, PromptTemplate, RetrievalTemplate, prompts_for
from prompteol.techniques import ForwardTechnique

__all__ = ["LoadedModel", "PromptConfig"]


@dataclass(frozen=True)
class PromptConfig:
    """Hold what a user asks of prompt, layer and engine; ``None`` is the saved model's own, or the default.

    A technique of ``()`` is none, whatever the saved model has.
    """

    template: str | PromptTemplate | RetrievalTemplate | None = None
    demonstrations: str | Iterable[str | Demonstration | tuple[str, str]] | None = None
    layer: int | float | None = None
    engine: Engine = "auto"
    normalization: NormalizationMode | None = None
    technique: ForwardTechnique | tuple[()] | None = None


@dataclass
class LoadedModel:
    """Hold the pieces of a loaded model.

    Args:
        module: the first module.
        after: the modules that follow it: Dense, Normalize.
        source: where they came from.
        provenance: how template, demonstrations and layer came to be.
        settings: a saved model's prompts, similarity and dimension.
        card: a saved model's card.
        fingerprint: the one that was saved, for which that card was written.
        training_notes: that card's section on training, which holds with any prompt.
        license: the one that card states.
        revision: the first digits of a saved model's fingerprint, which evaluations file results under; None where
            it was loaded in another way than it was saved.
    """

    module: PromptEOLModule
    after: list[nn.Module]
    source: ModelSource
    provenance: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)
    card: str | None = None
    fingerprint: str | None = None
    training_notes: str = ""
    license: str | None = None
    revision: str | None = None

    @property
    def device(self) -> str:
        """Where the backbone lies."""
        return str(self.module.transformer.model.device)

    @property
    def model_name(self) -> str:
        """The name that evaluations file results under: a saved model's own on the Hub, else ``prompteol/...``."""
        folder = Path(self.source.name)
        if self.source.kind == "artifact" and not folder.is_dir():
            return self.source.name
        return f"prompteol/{folder.resolve().name}"

    def settings_with(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings, with what the user gave over what a saved model brings."""
        prompts = prompts_for(self.module.template, self.settings.get("prompts", {}))
        overrides = {name: value for name, value in given.items() if value is not None}
        return {**self.settings, **overrides, "prompts": {**prompts, **(given.get("prompts") or {})}}

    def revision_with(self, given: Mapping[str, Any]) -> str | None:
        """Return the revision, or None where what the user gave makes other vectors or scores than the saved model."""
        return self.revision if self.settings_with(given) == self.settings_with({}) else None
