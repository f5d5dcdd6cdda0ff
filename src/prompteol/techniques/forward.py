"""Run prompts through a backbone for a technique: the packed forward, or the reference forward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from prompteol.inference import SharedPrefixEngine
from prompteol.inference.reference_forward import reference_states
from prompteol.inference.within_layers import Edit, Note, Read, editing
from prompteol.tokenization import TokenRows


@dataclass
class Forward:
    """Offer a technique the backbone of one model, for one call.

    Args:
        backbone: what ``AutoModel`` gives.
        tokenizer: its tokenizer.
        layer: the one that the model embeds by, as a negative index.
        packed: what runs the packed forward; ``None``: the reference forward is run.
    """

    backbone: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    layer: int
    packed: SharedPrefixEngine | None = None
    #: In which states came last.
    dtype: torch.dtype | None = None

    @property
    def depth(self) -> int:
        """How many layers the backbone has."""
        return int(self.backbone.config.get_text_config().num_hidden_layers)

    def __call__(
        self, rows: TokenRows, reads: Sequence[int | Read], *, edit: Edit | None = None, note: Note | None = None
    ) -> list[Tensor]:
        """Return states of the last token by layer, or what else is to be read: (texts, width) each.

        Args:
            rows: the token ids, and those that they share.
            reads: layers as negative indices, or more of what lies within.
            edit: what is changed within the layers.
            note: what the edit or a read should know of a row of token ids.
        """
        with editing(edit, note):
            if self.packed is None:
                found = reference_states(self.backbone, rows.rows, reads)
            else:
                found = self.packed.layer_states(rows.rows, reads, prefix=rows.prefix)
        self.dtype = found[0].dtype
        return found

    def states(self, rows: Sequence[TokenRows], layers: Sequence[int]) -> Tensor:
        """Return the states of several templates' rows, (texts, templates, layers, width), in float32 or more."""
        states = torch.stack([torch.stack(self(one, layers), dim=1) for one in rows], dim=1)
        return states if states.dtype == torch.float64 else states.float()
