"""Define what a technique is: the configuration of another way from a text to a vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from prompteol.errors import LayerError, SettingError

if TYPE_CHECKING:
    from torch import Tensor

    from prompteol.prompts import PromptTask, PromptTemplate
    from prompteol.techniques.fitting import FitInputs
    from prompteol.techniques.forward import Forward
    from prompteol.tokenization import PromptTokenizer, TokenRows


class LinearMap(NamedTuple):
    """Map vectors, (texts, width), to ``vectors @ weight.T + bias``, (texts, dimension)."""

    weight: Tensor
    bias: Tensor

    def __call__(self, vectors: Tensor) -> Tensor:
        """Return the mapped vectors."""
        return vectors @ self.weight.T + self.bias

    def then(self, following: LinearMap) -> LinearMap:
        """Return one map that does this and then another."""
        return LinearMap(following.weight @ self.weight, following(self.bias))


@dataclass(frozen=True)
class Technique:
    """Configure a technique: the base of every configuration, which is a frozen dataclass.

    A field is an option. ``metadata={"help": ...}`` explains it, and ``__post_init__`` refuses values that make no
    sense.
    """

    @classmethod
    def options(cls) -> str:
        """Describe the options and their defaults in one line."""
        shown = (f"{field.name}={field.default!r} ({field.metadata.get('help', '')})" for field in fields(cls))
        return ", ".join(shown) or "no options"

    @classmethod
    def configure(cls, options: dict[str, Any]) -> Technique:
        """Make a configuration of options by name; raise ``SettingError`` where one is not among the fields."""
        for name in options.keys() - {field.name for field in fields(cls)}:
            raise SettingError(f"{cls.__name__} has no option {name!r}: it takes {cls.options()}")
        return cls(**options)


@dataclass(frozen=True)
class Readout(Technique):
    """Configure a linear map behind the vector; it is saved as a ``Dense``, in the portable form."""

    #: Whether it is fitted on embeddings of texts; they need no labels.
    needs_texts: ClassVar[bool] = True

    def fit(self, inputs: FitInputs) -> LinearMap:
        """Return the map."""
        raise NotImplementedError


@dataclass(frozen=True)
class ForwardTechnique(Technique):
    """Configure which prompts of a text go in, which states are read, and how they combine.

    No stock module holds it, so a model with one is saved with a module of this package.
    """

    def templates(self, template: PromptTemplate) -> Sequence[PromptTemplate]:
        """Return the templates that each text is put into, for the model's own."""
        return (template,)

    def layers(self, layer: int) -> Sequence[int]:
        """Return the layers whose states of the last token are read, as negative indices, for the model's own."""
        return (layer,)

    def combine(self, states: Tensor) -> Tensor:
        """Return the vectors, (texts, dimension), of states (texts, templates, layers, width) in float32 or more."""
        return states.mean((1, 2))

    def tokenize(
        self,
        prompters: Sequence[PromptTokenizer],
        texts: Sequence[str],
        *,
        task: PromptTask | None,
        prompt: str,
        max_length: int,
    ) -> list[TokenRows]:
        """Return the token ids of each template's prompts; for techniques that add tokens."""
        return [one.token_rows(texts, task=task, prompt=prompt, max_length=max_length) for one in prompters]

    def embed(self, rows: Sequence[TokenRows], forward: Forward) -> Tensor:
        """Return the vectors, (texts, dimension), of each template's rows; for techniques that look within layers."""
        states = forward.states(rows, self.layers(forward.layer))
        vectors = self.combine(states)
        if vectors.ndim != 2 or len(vectors) != len(states):
            raise SettingError(
                f"{type(self).__name__} combines states of shape {tuple(states.shape)} to {tuple(vectors.shape)}: "
                "return (texts, dimension)"
            )
        return vectors


def layer_index(name: str, given: float, depth: int, *, end: bool = False) -> int:
    """Return a layer counted from 0, or the end of some, given as it is or as a fraction of depth."""
    index = given if isinstance(given, int) else min(round(given * depth), depth if end else depth - 1)
    if index >= depth + end:
        raise LayerError(
            f"{name}={given}, but the backbone has {depth} layers: give {depth - 1 + end} or less, or a share of depth"
        )
    return index


def check_layer(name: str, given: Any) -> None:
    """Raise ``SettingError`` for what is neither a layer counted from 0 nor a fraction of depth."""
    whole = isinstance(given, int) and not isinstance(given, bool) and given >= 0
    if not whole and not (isinstance(given, float) and 0 <= given <= 1):
        raise SettingError(f"{name}={given!r} is no layer: give one counted from 0, or a fraction of depth such as 0.5")
