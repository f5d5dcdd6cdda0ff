"""Say what is read and edited within decoder layers, in packed and in reference forwards alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from prompteol.inference.context import UnsupportedError
from prompteol.inference.packing import TokenRow

Site = Literal["mean", "attention", "heads", "router"]
Note = Callable[[tuple[int, ...]], Any]


@dataclass(frozen=True)
class Read:
    """Name what is read of each row beside the state of its last token.

    ``"mean"`` is the mean of the hidden states that a layer gives over the row's last tokens, as many as its note says.
    The others are of the last token: ``"attention"`` is what the layer's attention block gives, ``"heads"`` what goes
    into its output projection, ``"router"`` the probabilities of the layer's experts. Layers are negative, -1 the last.
    """

    site: Site
    layer: int = -1


@dataclass(frozen=True)
class Places:
    """Tell where texts lie in tensors of shape (rows, tokens, ...).

    ``first`` is where a prompt's first token lies; of a pack, where it would lie if the shared prefix stood in front of
    each text. ``notes`` are what the caller knows of each text.
    """

    row: Tensor
    first: Tensor
    last: Tensor
    notes: Sequence[Any]

    def at_last(self, tensor: Tensor) -> Tensor:
        """Pick the last token of each text."""
        return tensor[self.row.to(tensor.device), self.last.to(tensor.device)]


class Edit:
    """Change what lies within layers, counted from 0. Equal edits change the same: subclasses are frozen dataclasses.

    Tokens of the shared prefix may not be changed, nor the tensors that are given.
    """

    #: Whether :meth:`heads` or :meth:`rerouted` does something.
    touches_attention: ClassVar[bool] = False

    def states(self, layer: int, states: Tensor, places: Places) -> Tensor:
        """Return what goes into a layer, (rows, tokens, width)."""
        return states

    def heads(self, layer: int, heads: Tensor, places: Places) -> Tensor:
        """Return what goes into the output projection of attention, (rows, tokens, heads, width)."""
        return heads

    def rerouted(self, layer: int) -> float | None:
        """Return the bias at which all tokens of a text see its last one's key and value, or None: they do not."""
        return None


_NOTHING = Edit()
_EDITING: ContextVar[tuple[Edit, Note]] = ContextVar("prompteol_edit", default=(_NOTHING, lambda row: None))


@contextmanager
def editing(edit: Edit | None, note: Note | None) -> Iterator[None]:
    """Edit every forward in the block, in this thread alone; ``note`` says what is known of a row of token ids."""
    token = _EDITING.set((edit or _NOTHING, note or (lambda row: None)))
    try:
        yield
    finally:
        _EDITING.reset(token)


def current_edit() -> Edit | None:
    """Return the edit of this thread's forwards, or None."""
    edit = _EDITING.get()[0]
    return None if edit is _NOTHING else edit


@dataclass
class WithinLayers:
    """Apply the edit of one forward, and keep what is read of it; ``found`` has (texts, ...) for each read."""

    edit: Edit
    reads: dict[tuple[Site, int], Read]
    places: Places
    layer: int = 0
    #: Whether tensors now hold the last token of each text alone.
    last_only: bool = False
    found: dict[Read, Tensor] = field(default_factory=dict)
    attended: set[nn.Module] = field(default_factory=set)

    @classmethod
    def of_forward(
        cls, reads: Sequence[int | Read], rows: Iterable[TokenRow], depth: int, ends: Tensor | None = None
    ) -> WithinLayers | None:
        """Return what a forward of rows needs, packed so that they end at ``ends`` or a batch; None: nothing."""
        edit, note = _EDITING.get()
        inner = {(read.site, read.layer + depth): read for read in reads if isinstance(read, Read)}
        if edit is _NOTHING and not inner:
            return None
        whole = list(map(tuple, rows))
        lengths = torch.tensor(list(map(len, whole)))
        texts = torch.arange(len(whole))
        row, last = (texts, lengths - 1) if ends is None else (torch.zeros_like(texts), ends.cpu())
        return cls(edit, inner, Places(row, last - lengths + 1, last, list(map(note, whole))))

    @property
    def needs_all_tokens(self) -> bool:
        """Whether the last layer must run for all tokens."""
        return any(site == "mean" for site, _ in self.reads)

    def _now(self) -> Places:
        if not self.last_only:
            return self.places
        texts = torch.arange(len(self.places.last))
        return Places(torch.zeros_like(texts), texts, texts, self.places.notes)

    def take(self, site: Site, layer: int, tensor: Tensor, then: Callable[[Tensor], Tensor] | None = None) -> None:
        """Keep a tensor's values at each text's last token, or what ``then`` makes of them, if they are to be read."""
        read = self.reads.get((site, layer))
        if read is not None:
            values = self._now().at_last(tensor)
            self.found[read] = values if then is None else then(values)

    def values(self, layers: Sequence[int | Read], states: Mapping[int, Tensor]) -> list[Tensor]:
        """Return what was read, in order: states from ``states``, by layer, and what else was found."""
        missing = [read for read in layers if isinstance(read, Read) and read not in self.found]
        if missing:
            raise UnsupportedError(f"nothing of it is the {missing[0].site} of layer {missing[0].layer}")
        return [states[one] if isinstance(one, int) else self.found[one] for one in layers]

    def take_mean(self, layer: int, states: Tensor) -> None:
        """Keep the mean over each text's last tokens if it is to be read."""
        read, places = self.reads.get(("mean", layer)), self.places
        if read is not None:
            spans = zip(places.row.tolist(), places.last.tolist(), places.notes, strict=True)
            means = [states[row, last + 1 - (count or 1) : last + 1].mean(0) for row, last, count in spans]
            self.found[read] = torch.stack(means)

    def heads(self, heads: Tensor) -> Tensor:
        """Edit and keep what goes into the output projection of the layer that runs."""
        heads = self.edit.heads(self.layer, heads, self._now())
        self.take("heads", self.layer, heads.flatten(-2))
        return heads
