"""Configure KV-Embedding: the last token's keys and values in front of a text, for all of its tokens to see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prompteol.errors import SettingError
from prompteol.techniques.ensembles import reworded
from prompteol.techniques.protocol import ForwardTechnique, check_layer, layer_index
from prompteol.techniques.registry import register_technique

if TYPE_CHECKING:
    from torch import Tensor

    from prompteol.prompts import PromptTemplate
    from prompteol.techniques.forward import Forward
    from prompteol.tokenization import TokenRows

WORDING = '"{text}" Compress the Context in one word:'


@dataclass(frozen=True)
class KVEmbedding(ForwardTechnique):
    """In some layers, let all tokens of a prompt see the last one's key and value (Tang and Yang, ACL 2026).

    The vector is half the last token's state and half the mean of all states, of length 1. The wording is the paper's.
    """

    start: float | int = field(default=0.33, metadata={"help": "the first layer, from 0, or a fraction of depth"})
    stop: float | int = field(default=0.67, metadata={"help": "the layer it ends at, or a fraction of depth"})
    bias: float = field(default=1.0, metadata={"help": "added to the scores of what is put in front"})

    def __post_init__(self) -> None:
        for name, given in (("start", self.start), ("stop", self.stop)):
            check_layer(f"kv-embedding: {name}", given)
        if not isinstance(self.bias, (int, float)) or not abs(self.bias) < 1e4:
            raise SettingError(f"kv-embedding: bias={self.bias!r} is no bias of attention scores: give 0 or 1")

    def templates(self, template: PromptTemplate) -> Sequence[PromptTemplate]:
        """Return the model's own template in the paper's wording."""
        return [reworded(template, WORDING)]

    def embed(self, rows: Sequence[TokenRows], forward: Forward) -> Tensor:
        """Return (last + mean) / 2, normalized."""
        from torch.nn.functional import normalize

        from prompteol.inference.within_layers import Read
        from prompteol.techniques.edits import Reroute
        from prompteol.tokenization import TokenRows

        start = layer_index("kv-embedding: start", self.start, forward.depth)
        stop = layer_index("kv-embedding: stop", self.stop, forward.depth, end=True)
        if stop <= start:
            raise SettingError(f"kv-embedding: stop={self.stop} is not above start={self.start}: give more")
        (one,) = rows
        # The beginning sees the end, so texts share nothing.
        alone = TokenRows(one.rows, (), one.pad_token_id)
        reads: list[int | Read] = [forward.layer, Read("mean", forward.layer)]
        last, mean = forward(alone, reads, edit=Reroute(start, stop, float(self.bias)), note=len)
        return normalize((last.float() + mean.float()) / 2, dim=1)


register_technique("kv-embedding", KVEmbedding)
