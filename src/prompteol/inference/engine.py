"""Compute one vector per row, the last token's state or a mean, with prefix caching and sequence packing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from prompteol.errors import InputError, LayerError
from prompteol.inference.attention import KernelSelector
from prompteol.inference.context import UnsupportedError
from prompteol.inference.equivalence import EquivalenceCheck, describe
from prompteol.inference.packed_forward import Prefix
from prompteol.inference.packing import (
    Counters,
    TokenBudget,
    TokenRow,
    largest_independent_pack,
    longest_independent_row,
)
from prompteol.inference.pooling import LAST_TOKEN, TokenPooling
from prompteol.inference.reference_forward import input_device, reference_states
from prompteol.inference.structure import Structure, is_training
from prompteol.inference.within_layers import Read, current_edit

# More than this does not fit into a CPU's cache (docs/performance.md); the number for accelerators is a guess.
_CPU_BUDGET = 1024
_ACCELERATOR_BUDGET = 16384
# In a longer row the prefix saves little, and the attention mask takes a gigabyte and more.
_LONGEST_ROW = 16384


class SharedPrefixEngine:
    """Compute the state of each row's last token, spending no token twice and none on padding.

    Equal to the reference forward: before the packed forward is used, a few rows run both ways, and again whenever the
    backbone's modules or settings changed or a row is more than twice as long as any compared before. If they differ,
    or the backbone carries hooks or modules from outside, every row takes the reference forward, with one warning.
    In training mode, and while gradients are recorded, every row takes it, too; see :class:`TrainingEngine`. No state
    outlives a call, so every edit of the weights is seen. Safe to call from several threads.

    Args:
        backbone: a model from ``AutoModel``, on any device, in any dtype, quantized or with an adapter; never changed.
        token_budget: the most tokens to compute at once; 1024 on a CPU and 16384 elsewhere. Halved for good when memory
            runs out.
        attention: ``"sdpa"`` runs texts of equal length as a batch, ``"varlen"`` a whole pack at once by FlashAttention
            (CUDA, fp16 and bf16). ``"auto"`` is ``"sdpa"``, and on CUDA the fastest verified kernel, timed while large
            packs run. Or a name given to :func:`prompteol.register_attention`.

    Raises:
        SettingError: no attention kernel has that name.
    """

    #: Compares the two forwards.
    check_type = EquivalenceCheck

    def __init__(
        self,
        backbone: PreTrainedModel,
        *,
        token_budget: int | None = None,
        attention: str = "auto",
        pooling: TokenPooling = LAST_TOKEN,
        strict: bool = False,
    ) -> None:
        self.backbone = backbone
        self.pooling = pooling
        self.strict = strict
        self.counters = Counters()
        tokens = token_budget or (_CPU_BUDGET if input_device(backbone).type == "cpu" else _ACCELERATOR_BUDGET)
        self._budget = TokenBudget(int(min(tokens, largest_independent_pack(backbone.config.get_text_config()))))
        self._kernels = KernelSelector(attention)
        self._check: EquivalenceCheck | None = None

    @property
    def structure(self) -> Structure | None:
        """The structure that the packed forward was last checked on; the same object as long as nothing changed."""
        return None if self._check is None else self._check.structure

    def current_structure(self) -> Structure:
        """Return the backbone's structure as it is now, which the next call finds unless it changes again."""
        return self._current_check().structure

    @property
    def token_budget(self) -> int:
        """The most tokens to compute at once; lower than the argument if memory has run out."""
        return self._budget.tokens

    def last_token_states(self, rows: Sequence[TokenRow], *, prefix: TokenRow = (), layer: int = -1) -> Tensor:
        """Return what the reference forward has in ``hidden_states[layer]`` at each row's last token: (rows, width).

        Args:
            rows: rows of token ids, without padding; equal rows are computed once.
            prefix: token ids that the rows start with; a row that does not is computed without it.
            layer: index from the end; -1 is the last one, after the final norm.
        """
        return self.layer_states(rows, [layer], prefix=prefix)[0]

    def layer_states(
        self, rows: Sequence[TokenRow], layers: Sequence[int | Read], *, prefix: TokenRow = ()
    ) -> list[Tensor]:
        """Return the states of several layers, or other reads, from one pass: (rows, width) for each.

        Arguments and errors are those of :meth:`last_token_states`; widths may differ between layers.
        """
        self._validate(rows, layers)
        # A single row takes the reference forward in any mode.
        if torch.is_grad_enabled() or (len(rows) > 1 and is_training(self.backbone)):
            return self._reference(layers, rows)
        places: dict[tuple[int, ...], int] = {}
        inverse = [places.setdefault(tuple(row), len(places)) for row in rows]
        alone = len(places) == 1 and set(layers) == {-1} and len(rows[0]) <= self._longest_row()
        if alone and current_edit() is None and not self.strict:
            # A single row has no padding and shares nothing, so it needs no check.
            self.counters.add(text_tokens=len(rows[0]))
            (states,) = reference_states(self.backbone, rows[:1], [-1], self.pooling)
            return [states.repeat(len(rows), 1) if len(rows) > 1 else states] * len(layers)
        shared = self._by_prefix(sorted(places, key=len), tuple(prefix))
        check = self._current_check()
        computed = [self._compute(check, start, members, tuple(layers)) for start, members in shared.items()]
        found = {row: index for index, row in enumerate(chain.from_iterable(shared.values()))}
        order = torch.tensor([found[row] for row in places])[inverse]
        return [torch.cat(parts)[order.to(parts[0].device)] for parts in zip(*computed, strict=True)]

    def __getstate__(self) -> dict[str, Any]:
        """Keep caches, locks and checks out of pickles and copies."""
        return {
            "backbone": self.backbone,
            "token_budget": self.token_budget,
            "attention": self._kernels.attention,
            "pooling": self.pooling,
            "strict": self.strict,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def _validate(self, rows: Sequence[TokenRow], layers: Sequence[int | Read]) -> None:
        if not len(rows):
            raise InputError("no row was given; expected token ids of at least one text")
        for index, row in enumerate(rows):
            if not len(row):
                raise InputError(f"row {index} holds no token; expected at least one in each")
        if set(layers) == {-1}:
            return
        lowest = -1 - self.backbone.config.get_text_config().num_hidden_layers
        for one in layers:
            layer = one.layer if isinstance(one, Read) else one
            if not lowest <= layer <= -1:
                raise LayerError(f"layer {layer} is outside this backbone; choose one from {lowest} to -1")

    def _longest_row(self) -> float:
        """Return how long a row of the packed forward may be; it is read anew, as settings may change."""
        return min(_LONGEST_ROW, longest_independent_row(self.backbone.config.get_text_config()))

    def _by_prefix(self, rows: list[tuple[int, ...]], prefix: Prefix) -> dict[Prefix | None, list[tuple[int, ...]]]:
        """Group rows by the prefix that the packed forward computes for them; None means the reference forward."""
        longest = self._longest_row()
        starting = {row for row in rows if len(prefix) < len(row) <= longest and row[: len(prefix)] == prefix}
        if len(starting) == 1:
            # A single row has no other row to share a prefix with.
            starting.clear()
        shared: dict[Prefix | None, list[tuple[int, ...]]] = {}
        for row in rows:
            shared.setdefault(None if len(row) > longest else prefix if row in starting else (), []).append(row)
        return shared

    def _compute(
        self,
        check: EquivalenceCheck,
        prefix: Prefix | None,
        rows: list[tuple[int, ...]],
        layers: tuple[int | Read, ...],
    ) -> list[Tensor]:
        reference = self._refuse if self.strict else partial(self._budget.run, rows, partial(self._reference, layers))
        forward = None if prefix is None else check.forward(prefix, rows, layers)
        if prefix is None or forward is None:
            return reference()

        def packed(suffixes: Sequence[TokenRow]) -> list[Tensor]:
            states = forward.states(prefix, suffixes, layers)
            self.counters.add(text_tokens=sum(map(len, suffixes)))
            return states

        try:
            return self._budget.run([row[len(prefix) :] for row in rows], packed)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            if self.strict:
                check.leave(forward, describe(error))
            # If the rows themselves are invalid, the reference forward raises, and the packed forward stays in use.
            states = reference()
            check.leave(forward, describe(error))
            return states

    @staticmethod
    def _refuse() -> list[Tensor]:
        raise UnsupportedError("only the reference forward is right for these rows")

    def _current_check(self) -> EquivalenceCheck:
        found = Structure(self.backbone)
        check = self._check
        if check is None or check.structure != found:
            check = self.check_type(found, self.backbone, self._budget, self.counters, self._kernels, self.pooling)
            self._check = check
        return check

    def _reference(self, layers: Sequence[int | Read], rows: Sequence[TokenRow]) -> list[Tensor]:
        states = reference_states(self.backbone, rows, layers, self.pooling)
        self.counters.add(stock_tokens=len(rows) * max(map(len, rows)))
        return states
