"""Carry what the attention and the layers of one packed forward need, and register its attention with transformers.

One attention function serves every architecture: the running forward's kernel does the arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from prompteol.inference.pooling import LAST_TOKEN, TokenPooling

if TYPE_CHECKING:
    from prompteol.inference.within_layers import WithinLayers

NAME = "prompteol_packed"
KeyValue = tuple[Tensor, Tensor]
Made = TypeVar("Made")


class UnsupportedError(Exception):
    """Signal that an architecture computes attention in a way that a packed forward cannot reproduce."""


class StopForward(Exception):  # noqa: N818 - it ends a forward, nothing is wrong
    """Stop a forward early, as nothing more of it is needed."""


class Attention(Protocol):
    """Let each text of a pack attend to the shared prefix and to itself; see docs/extend/attention.md."""

    @property
    def name(self) -> str:
        """Return the name that messages use."""

    def mask(self, seen: Tensor, dtype: torch.dtype) -> Tensor:
        """Turn the architecture's mask, (1, 1, span, span), true where a token is seen, into the kernel's own form."""

    def __call__(
        self,
        context: ForwardContext,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor,
        **kwargs: Any,
    ) -> Tensor:
        """Return (1, queries, heads, width).

        ``query`` is (1, heads, queries, width) for all tokens, or for last tokens if ``context.last_only``; ``key``
        and ``value`` are (1, key heads, tokens, width), without the prefix; ``mask`` is the result of :meth:`mask`.
        """


@dataclass
class ForwardContext:
    """Carry lengths, prefix and kept states of one packed forward.

    Args:
        attention: the attention kernel.
        lengths: the number of tokens of each text without the prefix, sorted, in the order of the texts in the pack.
        device: the device of the input.
        depth: the last index into ``hidden_states`` that is needed.
        prefix: keys and values of the shared prefix for each attention module, each (1, key heads, prefix, width).
        prefix_length: the number of tokens of the shared prefix.
        wanted: the indices into ``hidden_states`` to keep of each text, in ``kept``, each (texts, width).
        pooling: how a text's states are reduced to one.
        prefix_sums: sums of the prefix's states, by index into ``hidden_states``, where a mean is kept.
        opening: the context of the prefix itself if this pack begins with its tokens; it fills ``prefix``.
        within: the reads and edits within the layers.
    """

    attention: Attention
    lengths: list[int]
    device: torch.device
    depth: int
    prefix: dict[nn.Module, KeyValue] = field(default_factory=dict)
    prefix_length: int = 0
    wanted: frozenset[int] = frozenset()
    pooling: TokenPooling = LAST_TOKEN
    prefix_sums: dict[int, Tensor] = field(default_factory=dict)
    opening: ForwardContext | None = None
    last: Tensor = field(init=False)
    kept: dict[int, Tensor] = field(default_factory=dict)
    stop_at_attention: bool = False
    cached_kv: KeyValue | None = None
    attended: set[nn.Module] = field(default_factory=set)
    _made: dict[Hashable, Any] = field(default_factory=dict)
    within: WithinLayers | None = None

    def __post_init__(self) -> None:
        before = self.prefix_length if self.opening else 0
        self.last = torch.tensor(self.lengths).cumsum(0).add(before - 1).to(self.device)

    @property
    def positions(self) -> list[int]:
        """The position of each token in its text, prefix included."""
        before = self.opening.positions if self.opening else []
        return [*before, *(self.prefix_length + place for length in self.lengths for place in range(length))]

    @property
    def span(self) -> int:
        """The number of tokens of the longest text, prefix included."""
        return self.prefix_length + max(self.lengths)

    @property
    def last_only(self) -> bool:
        """Whether only each text's last token has a query."""
        return self.cached_kv is not None

    def once(self, what: Hashable, make: Callable[[], Made]) -> Made:
        """Return the result of ``make``, which is called once in this forward."""
        if what not in self._made:
            self._made[what] = make()
        made: Made = self._made[what]
        return made

    def with_prefix(self, module: nn.Module, key: Tensor, value: Tensor) -> KeyValue:
        """Put the prefix's keys and values in front of each row's, (rows, key heads, tokens, width)."""
        if not self.prefix:
            return key, value
        keys, values = (states.expand(len(key), -1, -1, -1) for states in self.prefix[module])
        return torch.cat([keys, key], dim=2), torch.cat([values, value], dim=2)

    def keep(self, index: int, states: Tensor) -> None:
        """Pool and keep ``hidden_states[index]``, (1, tokens, width), if it is wanted."""
        if self.within is not None:
            self.within.take_mean(index - 1, states)
        if index not in self.wanted:
            return
        if self.pooling.last_only:
            self.kept[index] = states[0].index_select(0, self.last.to(states.device))
            return
        if self.opening:
            positions = torch.arange(self.prefix_length, device=states.device)
            self.prefix_sums[index] = self.pooling.weighted_sum(states[0, : self.prefix_length], positions)
        own = states[0, self.prefix_length :] if self.opening else states[0]
        lengths = torch.tensor(self.lengths, device=states.device)
        self.kept[index] = self.pooling.packed(own, lengths, self.prefix_length, self.prefix_sums.get(index))

    @property
    def rerouting(self) -> float | None:
        """The bias at which all tokens of a text see its last key and value in the running layer, or None."""
        return None if self.within is None else self.within.edit.rerouted(self.within.layer)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Make this the current context within the block, in this thread only."""
        token = _CURRENT.set(self)
        try:
            yield
        finally:
            _CURRENT.reset(token)


_CURRENT: ContextVar[ForwardContext | None] = ContextVar("prompteol_forward_context", default=None)


def current_context() -> ForwardContext:
    """Return the context of the forward that runs in this thread."""
    context = _CURRENT.get()
    if context is None:
        raise UnsupportedError("the packed attention was called outside a packed forward")
    return context


def _attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, None]:
    """Let each text attend to the prefix and itself; shapes as in transformers, with a batch of one row."""
    context = current_context()
    context.attended.add(module)
    if context.stop_at_attention:
        context.cached_kv = (key, value)
        raise StopForward
    key, value = context.cached_kv or (key, value)
    if attention_mask is None or attention_mask.shape[-2:] != (context.span, context.span):
        raise UnsupportedError(f"{type(module).__name__} has a mask of its own making")
    kwargs.pop("position_ids", None)
    heads = _attend_in_pack(context, module, query, key, value, mask=attention_mask, **kwargs)
    return heads if context.within is None else context.within.heads(heads), None


def _attend_in_pack(
    context: ForwardContext, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, **kwargs: Any
) -> Tensor:
    attend: Callable[..., Tensor] = partial(context.attention, **kwargs)
    if context.opening is None:
        return attend(context, module, query, key, value)
    parts = [context.prefix_length, key.shape[2] - context.prefix_length]
    (shared_key, key), (shared_value, value) = key.split(parts, dim=2), value.split(parts, dim=2)
    # The clone lets the rest of the pack be freed.
    context.prefix[module] = shared_key.clone(), shared_value.clone()
    if context.last_only:
        return attend(context, module, query, key, value)
    opening, query = query.split(parts, dim=2)
    before = attend(context.opening, module, opening, shared_key, shared_value)
    return torch.cat([before, attend(context, module, query, key, value)], dim=1)


AttentionInterface.register(NAME, _attend)
