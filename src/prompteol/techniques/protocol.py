"""Define what a technique is: the configuration of another way from a text to a vector.

A forward technique decides which prompts go in, which states are read and how they combine; it is saved with a module
of this package. A read-out is a linear map behind the vector; it is saved as a ``Dense``, which every
sentence-transformers loads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from prompteol.errors import SettingError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from prompteol.inference.layer_edits import LayerEdit
    from prompteol.prompts import PromptTemplate
    from prompteol.tokenization import TokenRows

__all__ = ["FitInputs", "ForwardTechnique", "LinearMap", "Readout", "Technique"]


class LinearMap(NamedTuple):
    """Map vectors, (texts, width), to ``vectors @ weight.T + bias``.

    Args:
        weight: (dimension, width).
        bias: (dimension,).
    """

    weight: Tensor
    bias: Tensor

    def __call__(self, vectors: Tensor) -> Tensor:
        """Return (texts, dimension)."""
        return vectors @ self.weight.T + self.bias

    def then(self, following: LinearMap) -> LinearMap:
        """Return one map that does this and then another."""
        return LinearMap(following.weight @ self.weight, following(self.bias))


class FitInputs(Protocol):
    """Offer what a read-out may be fitted on; nothing is computed before it is asked for."""

    @property
    def vectors(self) -> Tensor:
        """Return the embeddings of the texts without repetitions, (texts, width) in float64 on the CPU."""

    @property
    def unembedding(self) -> Tensor:
        """Return the weight of the LM head, (vocabulary, width), on the CPU."""


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
        """Make a configuration of options by name.

        Raises:
            SettingError: one is not among the fields, or has a value that makes no sense.
        """
        unknown = sorted(options.keys() - {field.name for field in fields(cls)})
        if unknown:
            raise SettingError(f"{cls.__name__} has no option {unknown[0]!r}: it takes {cls.options()}")
        return cls(**options)

    def record(self) -> dict[str, Any]:
        """Return the options as JSON holds them."""
        return asdict(self)


@dataclass(frozen=True)
class Readout(Technique):
    """Configure a linear map behind the vector."""

    #: Whether it is fitted on embeddings of texts; they need no labels.
    needs_texts: ClassVar[bool] = True

    def fit(self, inputs: FitInputs) -> LinearMap:
        """Return the map.

        Args:
            inputs: what it may be fitted on.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class ForwardTechnique(Technique):
    """Configure which prompts of a text go into the backbone, which states are read, and how they combine.

    No stock module holds it, so a model with one is saved with a module of this package.
    """

    def templates(self, template: PromptTemplate) -> Sequence[PromptTemplate]:
        """Return the templates that each text is put into.

        Args:
            template: the model's own; the others should have its normalization and demonstrations.
        """
        return (template,)

    def layers(self, layer: int) -> Sequence[int]:
        """Return the layers whose states of the last token are read, as negative indices.

        Args:
            layer: the model's own.
        """
        return (layer,)

    #: How many tokens :meth:`prepare` adds to a row.
    extra_tokens: ClassVar[int] = 0

    def prepare(
        self, rows: TokenRows, tokenizer: PreTrainedTokenizerBase, depth: int
    ) -> tuple[TokenRows, LayerEdit | None]:
        """Return the token ids that go in, and an edit of what goes into the layers, or None.

        Args:
            rows: the token ids of one template's prompts, and those that they begin with.
            tokenizer: of the backbone.
            depth: how many layers it has.
        """
        return rows, None

    def combine(self, states: Tensor) -> Tensor:
        """Return the vectors, (texts, dimension).

        Args:
            states: (texts, templates, layers, width), in float32 or more.
        """
        return states.mean((1, 2))
