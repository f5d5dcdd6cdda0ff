"""Insert the prepended token, and overwrite its state by the last token's."""

from __future__ import annotations

from functools import partial

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from prompteol.errors import LayerError, TemplateError
from prompteol.inference.layer_edits import LayerEdit, Places
from prompteol.tokenization import TokenRows

__all__ = ["prepend"]


def prepend(
    rows: TokenRows, tokenizer: PreTrainedTokenizerBase, start: int, stop: int, depth: int
) -> tuple[TokenRows, LayerEdit]:
    """Return rows with the token in them, and the edit of the layers from ``start`` up to ``stop``.

    What stands before the token is still shared by all rows. The token's own embedding is of no effect on what the
    paper measured; it is the tokenizer's padding token, so that no embedding is added.
    """
    if stop > depth:
        raise LayerError(f"token-prepending: stop={stop}, but the backbone has {depth} layers: give {depth} or less")
    place = len(rows.prefix) - 1
    if place < 0 or not tokenizer.decode([rows.prefix[place]]).strip().endswith('"'):
        raise TemplateError(
            "token-prepending puts a token in front of the quote that opens the text, and this template has none: give "
            'one like \'This sentence : "{text}" means in one word:"\''
        )
    before = list(rows.prefix[:place])
    if any(list(row[:place]) != before for row in rows.rows):
        raise TemplateError("token-prepending: the tokens of a text reach into the template in front of its quote")
    inserted = [[*before, rows.pad_token_id, *row[place:]] for row in rows.rows]
    return TokenRows(inserted, before, rows.pad_token_id), partial(_overwrite, start, stop, place)


def _overwrite(start: int, stop: int, place: int, layer: int, states: Tensor, places: Places) -> Tensor:
    if not start <= layer < stop:
        return states
    row, first, last = (index.to(states.device) for index in (places.row, places.first, places.last))
    # Of a pack the token is the first one that is not shared, in front of which the prefix is thought.
    return states.index_put((row, first + place), states[row, last])
