"""The engine: last-token states by the fast road where it was found right, by the stock road elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from prompteol.errors import InputError, LayerError
from prompteol.inference.budget import TokenBudget
from prompteol.inference.choice import AttentionChoice, Choice
from prompteol.inference.counters import Counters
from prompteol.inference.packed import PackedRoad, Prefix
from prompteol.inference.packing import Row
from prompteol.inference.reach import largest_independent_pack, longest_independent_row
from prompteol.inference.stock import input_device, stock_states
from prompteol.inference.structure import Structure, is_training
from prompteol.inference.trust import Trust, describe

__all__ = ["SharedPrefixEngine"]

# More than this falls out of a CPU's cache (docs/performance.md); for accelerators it is a guess.
_CPU_BUDGET = 1024
_ACCELERATOR_BUDGET = 16384
# Beside a longer row a prefix is little, and what may be seen of it, written out, takes a gigabyte and more.
_LONGEST_ROW = 16384


class SharedPrefixEngine:
    """Compute the state of each row's last token, spending no token twice and none on padding.

    Equal to the ordinary forward: before a prefix is trusted, a few rows run both ways, and again whenever
    the backbone's modules or settings changed or a row is more than twice as long as any compared before. If they
    differ, or the backbone cannot be run this way, every row takes the ordinary forward and one warning says so; so
    it is while it carries forward hooks from outside. In training mode, and wherever gradients are recorded, the
    ordinary forward is taken as it stands. No state outlives a call, so every edit of the weights is seen. Safe to
    call from several threads.

    Args:
        backbone: what ``AutoModel`` gives, such as ``OPTModel``; any device, dtype, quantisation or adapter.
            It is never changed.
        token_budget: tokens computed at once, at most; 1024 on a CPU and 16384 elsewhere. Halved for good
            when memory runs out.
        attention: ``"sdpa"`` runs texts of equal length as a batch, ``"varlen"`` a whole pack at once by
            FlashAttention's variable-length kernel (CUDA, fp16 and bf16). ``"auto"`` is ``"sdpa"``, and on CUDA what
            is found right and fastest while large packs run.

    Raises:
        SettingError: when there is no such way to attend.
    """

    def __init__(
        self,
        backbone: PreTrainedModel,
        *,
        token_budget: int | None = None,
        attention: AttentionChoice = "auto",
    ) -> None:
        self.backbone = backbone
        self.counters = Counters()
        asked = token_budget or (_CPU_BUDGET if input_device(self.backbone).type == "cpu" else _ACCELERATOR_BUDGET)
        self._budget = TokenBudget(int(min(asked, largest_independent_pack(backbone.config.get_text_config()))))
        self._choice = Choice(attention)
        self._trust: Trust | None = None

    @property
    def token_budget(self) -> int:
        """Tokens computed at once, at most; lower than asked for once memory has run out."""
        return self._budget.tokens

    def last_token_states(self, rows: Sequence[Row], *, prefix: Row = (), layer: int = -1) -> Tensor:
        """Return what the ordinary forward has in ``hidden_states[layer]`` at each row's last token.

        Args:
            rows: token ids, without padding; equal rows are computed once.
            prefix: token ids that the rows start with; one that does not is computed without it.
            layer: index into ``hidden_states`` from the end; -1 is the last one, after the final norm.

        Returns:
            (rows, width) in the order of ``rows``, in the backbone's dtype.

        Raises:
            InputError: when there is no row, or one holds no token.
            LayerError: when there is no such layer.
        """
        return self.layer_states(rows, [layer], prefix=prefix)[0]

    def layer_states(self, rows: Sequence[Row], layers: Sequence[int], *, prefix: Row = ()) -> list[Tensor]:
        """Return the states of several layers from one pass: a (rows, width) for each of ``layers``.

        Arguments and errors are those of :meth:`last_token_states`; widths may differ between layers.
        """
        self._validate(rows, layers)
        if torch.is_grad_enabled() or is_training(self.backbone):
            stock = partial(stock_states, self.backbone, device=input_device(self.backbone))
            return self._stock(stock, layers, rows)
        places: dict[tuple[int, ...], int] = {}
        inverse = [places.setdefault(tuple(row), len(places)) for row in rows]
        shared = self._by_prefix(sorted(places, key=len), tuple(prefix))
        trust = self._current_trust()
        computed = [self._compute(trust, start, members, tuple(layers)) for start, members in shared.items()]
        found = {row: index for index, row in enumerate(chain.from_iterable(shared.values()))}
        order = torch.tensor([found[row] for row in places])[inverse]
        return [torch.cat(parts)[order.to(parts[0].device)] for parts in zip(*computed, strict=True)]

    def __getstate__(self) -> dict[str, Any]:
        """Keep caches, locks and trust out of pickles and copies."""
        return {
            "backbone": self.backbone,
            "token_budget": self.token_budget,
            "attention": self._choice.attention,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def _validate(self, rows: Sequence[Row], layers: Sequence[int]) -> None:
        if not len(rows):
            raise InputError("no row was given; expected token ids of at least one text")
        for index, row in enumerate(rows):
            if not len(row):
                raise InputError(f"row {index} holds no token; expected at least one in each")
        lowest = -1 - self.backbone.config.get_text_config().num_hidden_layers
        for layer in layers:
            if not lowest <= layer <= -1:
                raise LayerError(f"layer {layer} is outside this backbone; choose one from {lowest} to -1")

    def _by_prefix(self, rows: list[tuple[int, ...]], prefix: Prefix) -> dict[Prefix | None, list[tuple[int, ...]]]:
        """Tell with which prefix each row goes down the fast road, or with None down the stock road."""
        longest = min(_LONGEST_ROW, longest_independent_row(self.backbone.config.get_text_config()))
        start = len(prefix)
        fitting = sum(start < len(row) <= longest and row[:start] == prefix for row in rows)
        shared: dict[Prefix | None, list[tuple[int, ...]]] = {}
        for row in rows:
            # A row alone has nobody to share with.
            shares = fitting > 1 and start < len(row) and row[:start] == prefix
            shared.setdefault(None if len(row) > longest else prefix if shares else (), []).append(row)
        return shared

    def _compute(
        self, trust: Trust, prefix: Prefix | None, rows: list[tuple[int, ...]], layers: tuple[int, ...]
    ) -> list[Tensor]:
        stock = partial(self._budget.run, rows, partial(self._stock, trust.stock.states, layers))
        road = None if prefix is None else trust.road(prefix, rows, layers)
        if prefix is None or road is None:
            return stock()
        try:
            return self._budget.run([row[len(prefix) :] for row in rows], partial(self._fast, road, prefix, layers))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            # If the rows themselves are at fault the stock road raises, and the fast one keeps its name.
            states = stock()
            trust.leave(road, describe(error))
            return states

    def _current_trust(self) -> Trust:
        found = Structure(self.backbone)
        trust = self._trust
        if trust is None or trust.structure != found:
            trust = self._trust = Trust(
                found, self.backbone, input_device(self.backbone), self._budget, self.counters, self._choice
            )
        return trust

    def _fast(self, road: PackedRoad, prefix: Prefix, layers: Sequence[int], rests: Sequence[Row]) -> list[Tensor]:
        states = road.states(prefix, rests, layers)
        self.counters.add(text=sum(map(len, rests)))
        return states

    def _stock(self, compute: Callable[..., list[Tensor]], layers: Sequence[int], rows: Sequence[Row]) -> list[Tensor]:
        states = compute(rows, entries=layers)
        self.counters.add(stock=len(rows) * max(map(len, rows)))
        return states
