"""Report how far a long computation is: one protocol for everything that takes long."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

__all__ = ["Advance", "Progress", "batches", "no_progress"]

Advance = Callable[[int], object]
"""Told how many more are done."""


class Progress(Protocol):
    """Open a stage of the work; in its block, the function that it gives moves it on."""

    def __call__(self, label: str, total: int | None, unit: str = "texts") -> AbstractContextManager[Advance]:
        """Begin a stage.

        Args:
            label: what is done.
            total: how many there are; ``None`` where nobody knows.
            unit: what is counted.
        """
        ...


def no_progress(label: str, total: int | None, unit: str = "texts") -> AbstractContextManager[Advance]:
    """Tell nobody: the :class:`Progress` of a library call."""
    return nullcontext(lambda _count: None)


@contextmanager
def batches(model: object, advance: Advance) -> Iterator[Advance]:
    """Report every batch that a sentence-transformers model embeds in the block.

    The function it gives is told of a whole chunk and reports what no batch did: equal texts are embedded once, and
    other kinds of models show no batches.
    """
    seen = 0

    def batch(_module: object, _inputs: object, output: Any) -> None:
        nonlocal seen
        if isinstance(output, Mapping) and "sentence_embedding" in output:
            seen += len(output["sentence_embedding"])
            advance(len(output["sentence_embedding"]))

    def chunk(count: int) -> None:
        nonlocal seen
        advance(count - seen)
        seen = 0

    children = list(getattr(model, "children", list)())
    hook = children[-1].register_forward_hook(batch) if children else None
    try:
        yield chunk
    finally:
        if hook is not None:
            hook.remove()
