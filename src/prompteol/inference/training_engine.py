"""Compute last-token states for training: shared heads once, with gradient, and packed rows behind them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from prompteol.compat import checkpoints_activations
from prompteol.inference.engine import SharedPrefixEngine
from prompteol.inference.gradient_check import GradientCheck
from prompteol.inference.packed_forward import Prefix
from prompteol.inference.packing import TokenRow
from prompteol.inference.within_layers import Read


class TrainingEngine(SharedPrefixEngine):
    """Compute the states of last tokens with their graph, spending no token twice on a head and none on padding.

    The packed forward is that of inference, and its gradients equal those of the padded forward: before it is used, a
    few rows run both ways, and again whenever the backbone's modules or settings changed or a row is more than twice as
    long as any compared before. Where they differ every row is padded, with one warning; and without one where
    activations are recomputed (gradient checkpointing), since a pack cannot be run again in parts.

    With dropout a head draws one mask a call, and each row one of its own behind it.

    Args:
        backbone: as for inference.
        heads: token ids that rows may start with; a row gets the longest that fits.
        token_budget, attention: as for inference.
    """

    check_type = GradientCheck

    def __init__(
        self,
        backbone: PreTrainedModel,
        heads: Iterable[TokenRow],
        *,
        token_budget: int | None = None,
        attention: str = "auto",
    ) -> None:
        super().__init__(backbone, token_budget=token_budget, attention=attention)
        self.heads = sorted(set(map(tuple, heads)), key=len, reverse=True)

    def layer_states(
        self, rows: Sequence[TokenRow], layers: Sequence[int | Read], *, prefix: TokenRow = ()
    ) -> list[Tensor]:
        """Return the states of several layers from one pass: a (rows, width) for each of ``layers``.

        Equal rows are computed each on its own, since dropout tells them apart.
        """
        self._validate(rows, layers)
        if checkpoints_activations(self.backbone):
            return self._reference(layers, rows)
        groups = self._by_head([tuple(row) for row in rows])
        check = self._current_check()
        computed = [
            self._compute(check, head, [tuple(rows[index]) for index in members], tuple(layers))
            for head, members in groups.items()
        ]
        found = [index for members in groups.values() for index in members]
        order = torch.tensor(found).argsort()
        return [torch.cat(parts)[order.to(parts[0].device)] for parts in zip(*computed, strict=True)]

    def _by_head(self, rows: Sequence[tuple[int, ...]]) -> dict[Prefix | None, list[int]]:
        """Group the places of rows, sorted by length, by their head; None means the reference forward."""
        longest = self._longest_row()
        groups: dict[Prefix | None, list[int]] = {}
        for index in sorted(range(len(rows)), key=lambda index: len(rows[index])):
            row = rows[index]
            fitting = (head for head in self.heads if len(head) < len(row) and row[: len(head)] == head)
            groups.setdefault(next(fitting, ()) if len(row) <= longest else None, []).append(index)
        return groups

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        return {name: state[name] for name in ("backbone", "token_budget", "attention")} | {"heads": self.heads}
