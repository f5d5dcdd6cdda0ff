"""Configure MetaEOL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prompteol.prompts import PromptTemplate
from prompteol.techniques.metaeol.wordings import WORDINGS
from prompteol.techniques.prompt_ensemble.operation import reworded
from prompteol.techniques.protocol import ForwardTechnique

__all__ = ["MetaEOL"]


@dataclass(frozen=True)
class MetaEOL(ForwardTechnique):
    """Average the states of eight prompts of a text, two for each of four tasks (Lei et al., ACL 2024)."""

    def templates(self, template: PromptTemplate) -> Sequence[PromptTemplate]:
        """Return the eight, with the normalization and the demonstrations of the model's own template."""
        return [reworded(template, one) for one in WORDINGS]
