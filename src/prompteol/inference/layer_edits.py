"""Edit the hidden states that go into decoder layers, in packed and in reference forwards alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from torch import Tensor, nn

__all__ = ["LayerEdit", "Places", "edited", "editing", "is_editing", "with_edits"]


@dataclass(frozen=True)
class Places:
    """Tell where texts lie in hidden states of shape (rows, tokens, width).

    Args:
        row: of each text.
        first: where the first token of its prompt lies; of a pack, where it would lie if the shared prefix stood in
            front of each text.
        last: where its last token lies.
    """

    row: Tensor
    first: Tensor
    last: Tensor


class LayerEdit(Protocol):
    """Change what goes into a decoder layer."""

    def __call__(self, layer: int, states: Tensor, places: Places) -> Tensor:
        """Return the states that go in, without changing those given.

        Args:
            layer: counted from 0.
            states: (rows, tokens, width).
            places: where the texts lie. Tokens of the shared prefix may not be edited.
        """


_EDIT: ContextVar[LayerEdit | None] = ContextVar("prompteol_layer_edit", default=None)


@contextmanager
def editing(edit: LayerEdit | None) -> Iterator[None]:
    """Apply an edit to every forward in the block, in this thread alone."""
    token = _EDIT.set(edit)
    try:
        yield
    finally:
        _EDIT.reset(token)


def is_editing() -> bool:
    """Return whether the forwards of this thread are edited."""
    return _EDIT.get() is not None


def edited(
    layer: int, args: tuple[Any, ...], kwargs: dict[str, Any], places: Places
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a layer with the hidden states edited."""
    edit = _EDIT.get()
    if edit is None:
        return args, kwargs
    if args:
        return (edit(layer, args[0], places), *args[1:]), kwargs
    return args, {**kwargs, "hidden_states": edit(layer, kwargs["hidden_states"], places)}


def with_edits(layers: nn.ModuleList, places: Places) -> None:
    """Edit what goes into the layers of a copy of a backbone, which is used once."""
    for index, layer in enumerate(layers):
        layer.register_forward_pre_hook(partial(_before, index, places), with_kwargs=True)


def _before(
    index: int, places: Places, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return edited(index, args, kwargs, places)
