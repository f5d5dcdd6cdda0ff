"""Report the progress of long computations through one protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

Advance = Callable[[int], object]
"""A function that is called with how many more are done."""


class Progress(Protocol):
    """Open a stage of the work, and yield the function that advances it."""

    def __call__(self, label: str, total: int | None, unit: str = "texts") -> AbstractContextManager[Advance]:
        """Begin a stage that is called ``label``; ``total`` is ``None`` where nobody knows."""
        ...


def no_progress(label: str, total: int | None, unit: str = "texts") -> AbstractContextManager[Advance]:
    """Report nothing; the default :class:`Progress` of library calls."""
    return nullcontext(lambda _count: None)


@contextmanager
def batches(model: object, advance: Advance) -> Iterator[Advance]:
    """Report every batch that a sentence-transformers model embeds in the block.

    The yielded function is called after each chunk with its size, and reports the rest of it: equal texts are embedded
    once, and models that are no torch modules report no batches.
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
