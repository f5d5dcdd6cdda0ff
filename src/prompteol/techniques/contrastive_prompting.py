"""Configure Contrastive Prompting: steer away from what a prompt for irrelevant information gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from prompteol.errors import SettingError
from prompteol.techniques.ensembles import as_wordings, reworded
from prompteol.techniques.protocol import ForwardTechnique, check_layer, layer_index
from prompteol.techniques.registry import register_technique

if TYPE_CHECKING:
    from torch import Tensor

    from prompteol.prompts import PromptTemplate
    from prompteol.techniques.forward import Forward
    from prompteol.tokenization import PromptTokenizer, TokenRows

AUXILIARY = 'The irrelevant information of this sentence : "{text}" means in one word:"'


@dataclass(frozen=True)
class ContrastivePrompting(ForwardTechnique):
    """Subtract, in one early layer, the attention values of a second prompt's last token (Cheng et al., ACL 2025).

    An auxiliary prompt asks for the irrelevant information and shows no demonstrations; only the layers up to that
    one run it. One auxiliary pass serves all wordings.
    """

    layer: int | float = field(default=0.13, metadata={"help": "counted from 0, or a fraction of depth"})
    strength: float = field(default=2.0, metadata={"help": "what the difference is multiplied by; not by NR"})
    form: str = field(default="NS", metadata={"help": "NS: strength * (A - B); NR: A - B at the norm of A"})
    wordings: str | Sequence[str] | None = field(
        default=None, metadata={"help": "prompts to average, as of prompt-ensemble, or metaeol; None: the model's own"}
    )

    def __post_init__(self) -> None:
        check_layer("contrastive-prompting: layer", self.layer)
        if not isinstance(self.strength, (int, float)) or self.strength <= 0:
            raise SettingError(f"contrastive-prompting: strength={self.strength!r} is no positive number: give 2")
        if self.form not in ("NS", "NR"):
            raise SettingError(f"contrastive-prompting: form={self.form!r} is neither NS nor NR")
        object.__setattr__(self, "wordings", as_wordings("contrastive-prompting", self.wordings))

    def templates(self, template: PromptTemplate) -> Sequence[PromptTemplate]:
        """Return the auxiliary template, then the model's own or that in each wording."""
        own = [reworded(template, one) for one in self.wordings or ()] or [template]
        return [reworded(template, AUXILIARY).with_demonstrations(()), *own]

    def tokenize(
        self, prompters: Sequence[PromptTokenizer], texts: Sequence[str], *, max_length: int, **options: Any
    ) -> list[TokenRows]:
        """Cut a text that is too long at one place in all prompts."""
        place = {"task": options["task"], "prompt": options["prompt"]}
        ends = [len(one.head(**place)) + len(one.tail(**place)) for one in prompters]
        room = max_length - max(ends)
        return [
            one.token_rows(texts, max_length=room + end, **options) for one, end in zip(prompters, ends, strict=True)
        ]

    def embed(self, rows: Sequence[TokenRows], forward: Forward) -> Tensor:
        """Return the mean over wordings of the last token's state."""
        import torch

        from prompteol.inference.within_layers import Read
        from prompteol.techniques.edits import Steer

        layer = layer_index("contrastive-prompting: layer", self.layer, forward.depth)
        auxiliary, *prompts = rows
        (values,) = forward(auxiliary, [Read("heads", layer - forward.depth)])
        edit = Steer(layer, self.strength if self.form == "NS" else None)
        states = []
        for one in prompts:
            notes = {tuple(row): value for row, value in zip(one.rows, values, strict=True)}
            # The equivalence check runs parts of rows, too: nothing is subtracted from these.
            note = partial(_note, notes, torch.zeros_like(values[0]))
            states += forward(one, [forward.layer], edit=edit, note=note)
        return torch.stack(states).float().mean(0) if len(states) > 1 else states[0]


def _note(notes: dict[tuple[int, ...], Tensor], otherwise: Tensor, row: tuple[int, ...]) -> Tensor:
    return notes.get(row, otherwise)


register_technique("contrastive-prompting", ContrastivePrompting)
