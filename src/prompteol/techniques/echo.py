"""Configure Echo: a text twice, and the mean over its second copy, whose tokens see the whole of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from prompteol.errors import TemplateError
from prompteol.techniques.protocol import ForwardTechnique
from prompteol.techniques.registry import register_technique

if TYPE_CHECKING:
    from torch import Tensor

    from prompteol.prompts import PromptTemplate
    from prompteol.techniques.forward import Forward
    from prompteol.tokenization import PromptTokenizer, TokenRows


@dataclass(frozen=True)
class Echo(ForwardTechnique):
    """Average the states of a text's second copy, behind a request to rewrite the first (Springer et al., ICLR 2025).

    The wording is Echo's; normalization and demonstrations are those of the model's own template. A demonstration shows
    its sentence and that sentence again.
    """

    def templates(self, template: PromptTemplate) -> Sequence[PromptTemplate]:
        """Return the template of everything in front of the second copy."""
        asked, again = "Rewrite the following sentence: ", "\nThe rewritten sentence:"
        shown = (f"{asked}{one.sentence}{again} {one.sentence}\n" for one in template.demonstrations)
        return [replace(template, prefix="".join(shown) + asked, suffix=again, demonstrations=())]

    def tokenize(
        self, prompters: Sequence[PromptTokenizer], texts: Sequence[str], *, max_length: int, **options: Any
    ) -> list[TokenRows]:
        """Return whole prompts, tokenized as one string, and behind them the second copies alone."""
        from prompteol.tokenization import TokenRows

        (prompter,) = prompters
        head, tail = prompter.head(**options), prompter.tail(**options)
        room = (max_length - len(head) - len(tail)) // 2
        if room < 1:
            raise TemplateError(
                f"max_seq_length={max_length} leaves no room for a text twice: show fewer demonstrations"
            )
        limit = len(head) + len(tail) + room
        firsts = prompter.token_rows(texts, max_length=limit, **options)
        template, _ = prompter.template.route(options["task"], options["prompt"])
        wholes = prompter.ids([prompter.render(text, **options) + " " + template.normalize(text) for text in texts])
        copies = []
        for place, (first, whole) in enumerate(zip(firsts.rows, wholes, strict=True)):
            if len(first) == limit or len(whole) > max_length:
                wholes[place] = [*first, *first[len(head) : len(first) - len(tail)]]
            same = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(first, wholes[place], strict=False))))
            copies.append(wholes[place][same:])
        return [TokenRows(wholes, firsts.prefix, firsts.pad_token_id), TokenRows(copies, (), firsts.pad_token_id)]

    def embed(self, rows: Sequence[TokenRows], forward: Forward) -> Tensor:
        """Return the mean over the second copy."""
        from prompteol.inference.within_layers import Read

        wholes, copies = rows
        lengths = {tuple(row): len(copy) for row, copy in zip(wholes.rows, copies.rows, strict=True)}
        (means,) = forward(wholes, [Read("mean", forward.layer)], note=lambda row: lengths.get(row, 1))
        return means


register_technique("echo", Echo)
