"""Configure Token Prepending: a token in front of the text that carries the state of the last token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from prompteol.errors import SettingError, TemplateError
from prompteol.techniques.ensembles import as_wordings, reworded
from prompteol.techniques.protocol import ForwardTechnique, check_layer, layer_index
from prompteol.techniques.registry import register_technique

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from prompteol.prompts import PromptTemplate
    from prompteol.techniques.forward import Forward
    from prompteol.tokenization import PromptTokenizer, TokenRows


@dataclass(frozen=True)
class TokenPrepending(ForwardTechnique):
    """Put a token in front of the opening quote, and give it the last token's state before each early layer.

    So the text's tokens, which see only what is before them, see something of its end (Fu et al., ACL 2025).
    """

    start: int | float = field(default=1, metadata={"help": "the first layer, counted from 0, or a fraction of depth"})
    stop: int | float = field(default=0.22, metadata={"help": "the layer it ends at, or a fraction of depth"})
    wordings: str | Sequence[str] | None = field(
        default=None, metadata={"help": "prompts to average, as of prompt-ensemble, or metaeol; None: the model's own"}
    )

    def __post_init__(self) -> None:
        for name, given in (("start", self.start), ("stop", self.stop)):
            check_layer(f"token-prepending: {name}", given)
        if isinstance(self.start, type(self.stop)) and self.stop <= self.start:
            raise SettingError(f"token-prepending: stop={self.stop} is not above start={self.start}: give more")
        object.__setattr__(self, "wordings", as_wordings("token-prepending", self.wordings))

    def templates(self, template: PromptTemplate) -> Sequence[PromptTemplate]:
        """Return the model's own template, or that in each wording."""
        return [reworded(template, one) for one in self.wordings or ()] or [template]

    def tokenize(
        self, prompters: Sequence[PromptTokenizer], texts: Sequence[str], *, max_length: int, **options: Any
    ) -> list[TokenRows]:
        """Return of each template's prompts what stands before the token, then the token and what follows it."""
        rows = (one.token_rows(texts, max_length=max_length - 1, **options) for one in prompters)
        return [part for one in rows for part in _with_token(one, prompters[0].tokenizer)]

    def embed(self, rows: Sequence[TokenRows], forward: Forward) -> Tensor:
        """Return the mean over templates of the last token's state."""
        import torch

        from prompteol.techniques.edits import Prepend
        from prompteol.tokenization import TokenRows

        start = layer_index("token-prepending: start", self.start, forward.depth)
        stop = layer_index("token-prepending: stop", self.stop, forward.depth, end=True)
        stop = stop if isinstance(self.stop, int) else max(start + 1, stop)
        states = []
        for before, after in zip(rows[::2], rows[1::2], strict=True):
            whole = [[*one, *other] for one, other in zip(before.rows, after.rows, strict=True)]
            place = len(before.rows[0])
            shared = TokenRows(whole, whole[0][:place], before.pad_token_id)
            states += forward(shared, [forward.layer], edit=Prepend(start, stop, place))
        return torch.stack(states).float().mean(0) if len(states) > 1 else states[0]


def _with_token(rows: TokenRows, tokenizer: PreTrainedTokenizerBase) -> tuple[TokenRows, TokenRows]:
    """Put the padding token in front of the quote: no embedding is added, and which one it has is of no effect."""
    from prompteol.tokenization import TokenRows

    place, pad = len(rows.prefix) - 1, rows.pad_token_id
    if place < 1 or not str(tokenizer.decode([rows.prefix[place]])).strip().endswith('"'):
        raise TemplateError(
            "token-prepending puts a token in front of the quote that opens the text, and this template has none: give "
            'one like \'This sentence : "{text}" means in one word:"\''
        )
    before = list(rows.prefix[:place])
    if any(list(row[:place]) != before for row in rows.rows):
        raise TemplateError("token-prepending: the tokens of a text reach into the template in front of its quote")
    after = TokenRows([[pad, *row[place:]] for row in rows.rows], (), pad)
    return TokenRows([before] * len(rows.rows), before, pad), after


register_technique("token-prepending", TokenPrepending)
