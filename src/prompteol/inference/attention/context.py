"""What one forward through the twin carries, seen by its attention and its layers."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

__all__ = ["Attention", "ForwardContext", "KeyValue", "StopForward", "UnsupportedError", "current_context", "running"]

KeyValue = tuple[Tensor, Tensor]
Made = TypeVar("Made")


class UnsupportedError(Exception):
    """The architecture computes attention in a way that a pack cannot follow."""


class StopForward(Exception):  # noqa: N818 - it ends a forward, nothing is wrong
    """Nothing further of this forward is needed."""


class Attention(Protocol):
    """One way to let each text of a pack attend to the shared prefix and to itself."""

    @property
    def name(self) -> str:
        """What to call it in a message."""

    def mask(self, seen: Tensor, dtype: torch.dtype) -> Tensor:
        """Turn the architecture's rule, true where a token is seen, (1, 1, span, span), into what this way takes."""

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

        Args:
            this: the pass that is running.
            module: the attention module of the architecture, with its settings.
            query: (1, heads, queries, width); of every token, or of last tokens where ``context.last_only``.
            key: (1, key heads, tokens, width), without the prefix.
            value: likewise.
            mask: what :meth:`mask` gave.
            kwargs: what the architecture hands to its attention function.
        """


@dataclass
class ForwardContext:
    """What one forward carries.

    Args:
        attention: how texts attend.
        lengths: tokens of each text without the prefix, in the order in which they lie; sorted.
        device: where the input goes.
        prefix: keys and values of the shared prefix by attention module, each (1, key heads, prefix, width); filled
            where ``opening`` is given.
        prefix_length: tokens of the shared prefix.
        depth: the last entry of ``hidden_states`` that is needed.
        wanted: the entries of ``hidden_states`` to keep at each text's last token.
        opening: the pass of the shared prefix itself, where its tokens lie in front of the texts.
        last: index of each text's last token in the pack.
        kept: the wanted entries found so far, each (texts, width).
        stop_at_attention: whether the layer that runs is the last, and only its keys and values are needed.
        held: those keys and values, of every token, when the layer runs again for the last tokens.
        attended: the modules whose attention went through us.
    """

    attention: Attention
    lengths: list[int]
    device: torch.device
    prefix: dict[nn.Module, KeyValue]
    prefix_length: int
    depth: int
    wanted: frozenset[int]
    opening: ForwardContext | None = None
    last: Tensor = field(init=False)
    kept: dict[int, Tensor] = field(default_factory=dict)
    stop_at_attention: bool = False
    cached_kv: KeyValue | None = None
    attended: set[nn.Module] = field(default_factory=set)
    _made: dict[Hashable, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        before = self.prefix_length if self.opening else 0
        self.last = torch.tensor(self.lengths).cumsum(0).add(before - 1).to(self.device)

    @property
    def positions(self) -> list[int]:
        """Each token's place in its text, prefix included."""
        before = self.opening.positions if self.opening else []
        return [*before, *(self.prefix_length + place for length in self.lengths for place in range(length))]

    @property
    def span(self) -> int:
        """Tokens of the longest text, prefix included."""
        return self.prefix_length + max(self.lengths)

    @property
    def last_only(self) -> bool:
        """Whether queries come from each text's last token alone."""
        return self.cached_kv is not None

    def once(self, what: Hashable, make: Callable[[], Made]) -> Made:
        """Return what ``make`` gives, made once in this pass."""
        if what not in self._made:
            self._made[what] = make()
        made: Made = self._made[what]
        return made

    def with_prefix(self, module: nn.Module, key: Tensor, value: Tensor) -> KeyValue:
        """Put the prefix's keys and values in front of those of each row, (rows, key heads, tokens, width)."""
        if not self.prefix:
            return key, value
        keys, values = (states.expand(len(key), -1, -1, -1) for states in self.prefix[module])
        return torch.cat([keys, key], dim=2), torch.cat([values, value], dim=2)

    def keep(self, entry: int, states: Tensor) -> None:
        """Keep an entry of ``hidden_states``, (1, tokens, width), at the last tokens if it is wanted."""
        if entry in self.wanted:
            self.kept[entry] = states[0].index_select(0, self.last.to(states.device))


_PASS: ContextVar[ForwardContext | None] = ContextVar("prompteol_pass", default=None)


@contextmanager
def running(context: ForwardContext) -> Iterator[None]:
    """Let the attention function and the layers below this call see a pass; other threads see their own."""
    token = _PASS.set(context)
    try:
        yield
    finally:
        _PASS.reset(token)


def current_context() -> ForwardContext:
    """Return the pass that is running in this thread."""
    context = _PASS.get()
    if context is None:
        raise UnsupportedError("our attention was called outside a pass")
    return context
