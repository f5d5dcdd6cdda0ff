"""Configure the mean over several prompts of a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from prompteol.errors import SettingError
from prompteol.prompts import PromptTemplate
from prompteol.techniques.prompt_ensemble.operation import reworded, wording
from prompteol.techniques.protocol import ForwardTechnique

__all__ = ["PromptEnsemble"]


@dataclass(frozen=True)
class PromptEnsemble(ForwardTechnique):
    """Average the states of several prompts of a text.

    Args:
        wordings: names of templates, or strings with one ``{text}``; in one string, with ``+`` between them. Each has
            the normalization and the demonstrations of the model's own template.
    """

    wordings: str | Sequence[str] = field(
        default="pretended-cot+knowledge-enhancement", metadata={"help": "templates, with + between them"}
    )

    def __post_init__(self) -> None:
        given = self.wordings.split("+") if isinstance(self.wordings, str) else list(self.wordings)
        if len(given) < 2 or len(set(given)) < len(given):
            raise SettingError(
                f"prompt-ensemble: wordings={self.wordings!r} are not two or more different ones: give names or "
                "wordings, such as 'pretended-cot+knowledge-enhancement'"
            )
        object.__setattr__(self, "wordings", tuple(map(wording, given)))

    def templates(self, template: PromptTemplate) -> Sequence[PromptTemplate]:
        """Return the template in each wording."""
        return [reworded(template, one) for one in self.wordings]
