"""What was evaluated, with what: enough to repeat a result."""

from __future__ import annotations

import platform
from dataclasses import dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prompteol.prompts import PromptTemplate

__all__ = ["ModelDescription", "describe", "versions"]

_PACKAGES = (
    "prompteol",
    "sentence-transformers",
    "transformers",
    "torch",
    "tokenizers",
    "peft",
    "scikit-learn",
    "scipy",
    "numpy",
    "datasets",
)


@dataclass(frozen=True)
class ModelDescription:
    """Describe an evaluated model; what does not apply to it is None.

    ``template`` shows the prompt with ``{text}`` where the sentence goes and no demonstrations; those stand in
    ``demonstrations`` as (sentence, word). ``layer`` is negative, -1 the last. ``fingerprint`` is the one
    that the model gives of its weights and settings.
    """

    name: str
    template: str | None = None
    normalization: str | None = None
    demonstrations: tuple[tuple[str, str], ...] = ()
    layer: int | None = None
    dtype: str | None = None
    dimensions: int | None = None
    parameters: int | None = None
    fingerprint: str | None = None

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> ModelDescription:
        """Read what :func:`dataclasses.asdict` wrote; fields of other releases are passed over."""
        known = {field.name: record[field.name] for field in fields(cls) if field.name in record}
        pairs = known.pop("demonstrations", ())
        return cls(**known, demonstrations=tuple((sentence, word) for sentence, word in pairs))


def describe(model: Any, name: str) -> ModelDescription:
    """Describe a model by what it says of itself: a PromptEOL everything, any other encoder what it has."""
    templates = getattr(model, "template", None)
    template: PromptTemplate | None = templates.for_task(None) if templates is not None else None
    parameters = list(model.parameters()) if hasattr(model, "parameters") else []
    return ModelDescription(
        name=name,
        template=str(template.with_demonstrations(())) if template else None,
        normalization=template.normalization if template else None,
        demonstrations=tuple((d.sentence, d.word) for d in template.demonstrations) if template else (),
        layer=getattr(model, "layer", None),
        dtype=str(parameters[0].dtype).removeprefix("torch.") if parameters else None,
        dimensions=model.get_embedding_dimension() if hasattr(model, "get_embedding_dimension") else None,
        parameters=sum(parameter.numel() for parameter in parameters) or None,
        fingerprint=model.fingerprint() if hasattr(model, "fingerprint") else None,
    )


def versions() -> dict[str, str]:
    """List the versions that a score may depend on: Python's and those of the packages installed."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
