"""Configure Token Prepending."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from prompteol.errors import SettingError
from prompteol.techniques.protocol import ForwardTechnique

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from prompteol.inference.layer_edits import LayerEdit
    from prompteol.tokenization import TokenRows

__all__ = ["TokenPrepending"]


@dataclass(frozen=True)
class TokenPrepending(ForwardTechnique):
    """Put a token in front of the opening quote, and give it the last token's state before each early layer.

    So the text's tokens, which see only what is before them, see something of its end (Fu et al., ACL 2025).

    Args:
        start: the first layer that it is done before, counted from 0.
        stop: the layer that it is done before no more; or a fraction of depth in (0, 1).
    """

    start: int = field(default=1, metadata={"help": "the first layer, counted from 0"})
    stop: int | float = field(default=0.22, metadata={"help": "the layer it ends at, or a fraction of depth"})
    extra_tokens: ClassVar[int] = 1

    def __post_init__(self) -> None:
        whole = isinstance(self.stop, int)
        if not isinstance(self.start, int) or self.start < 0 or not (whole or 0 < self.stop < 1):
            raise SettingError(
                f"token-prepending: start={self.start!r}, stop={self.stop!r} are no layers: give whole numbers, or a "
                "fraction of depth as stop"
            )
        if whole and self.stop <= self.start:
            raise SettingError(f"token-prepending: stop={self.stop} is not above start={self.start}: give more")

    def prepare(
        self, rows: TokenRows, tokenizer: PreTrainedTokenizerBase, depth: int
    ) -> tuple[TokenRows, LayerEdit | None]:
        """Insert the token, and return what gives it the last token's state.

        Raises:
            TemplateError: the template has no opening quote in front of the text.
            LayerError: the layers are outside the backbone.
        """
        from prompteol.techniques.token_prepending.operation import prepend

        stop = self.stop if isinstance(self.stop, int) else max(self.start + 1, round(self.stop * depth))
        return prepend(rows, tokenizer, self.start, stop, depth)
