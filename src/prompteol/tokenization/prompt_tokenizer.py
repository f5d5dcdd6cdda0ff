"""Tokenize whole prompts as one string, and truncate the text but never the template."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import takewhile

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from prompteol.errors import ModelError, TemplateError
from prompteol.locks import Lock
from prompteol.prompts import (
    PROMPT_TASKS,
    PromptTask,
    RetrievalTemplate,
    Template,
    compile_chat_template,
    decompile_chat_template,
)
from prompteol.tokenization.bos import resolve_bos
from prompteol.tokenization.truncation import PromptCutter

# sentence-transformers finds the tail of a chat template with these two fillers, and writes it back over the end of
# a row that was cut. The same two are used here, so that a truncated row has the same ids either way.
_FILLERS = ("0", "1 2 3 4")
# Characters of a prompt to read per token to keep, and the factor by which to read more where they were too few.
_CHARACTERS_PER_TOKEN, _GROWTH = 16, 4
# The number of characters in a call below which tokenizing them all is faster than reading the whole tokenizer, and of
# texts below which tokenizing whole prompts is faster than looking for a place to cut them.
_WORTH_CUTTING, _WORTH_SHARING = 2**16, 16
# Beginnings of ordinary texts: a capital letter, a small letter, a digit, another script.
_BEGINNINGS = ("A man", "the", "1", "Élan", "文字")
# Ends of texts that fuse with a closing quote in some vocabulary. The last token must stay the same after each.
_ENDINGS = ("", "a", "a.", "a?", "a!", "a)", 'a"', "a'", "a:", "a%", "a ", "1", "。", "”", "😀", '":"', "\n")


@dataclass(frozen=True)
class TokenRows:
    """Carry each prompt's token ids to the packed forward without padding; ordinary prompts begin with ``prefix``."""

    rows: Sequence[Sequence[int]]
    prefix: Sequence[int]
    pad_token_id: int

    @classmethod
    def unpadded(cls, input_ids: Tensor, attention_mask: Tensor) -> TokenRows:
        """Take the rows out of a batch that is padded on the right; their shared prefix is unknown."""
        lengths = attention_mask.sum(dim=1).tolist()
        return cls([ids[:length] for ids, length in zip(input_ids.tolist(), lengths, strict=True)], (), 0)

    def padded(self) -> dict[str, Tensor]:
        """Return ``input_ids`` and ``attention_mask``, both (rows, tokens), padded on the right."""
        lengths = torch.tensor([len(row) for row in self.rows])
        longest = max(map(len, self.rows), default=0)
        ids = [[*row, *[self.pad_token_id] * (longest - len(row))] for row in self.rows]
        return {
            "input_ids": torch.tensor(ids, dtype=torch.long).reshape(len(ids), longest),
            "attention_mask": (torch.arange(longest) < lengths[:, None]).long(),
        }


class PromptTokenizer:
    """Render texts and tokenize them; the text is data and cannot reach the template.

    A special token's literal text, such as ``</s>``, is read as that token, as stock loaders do. The
    tokenizer gets the template as its chat template, a pad token if it has none, and right padding: with causal
    attention that is exact. TemplateError is raised if the text could change the token that gives the embedding.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: Template) -> None:
        self.tokenizer = tokenizer
        self.template = template
        self._lock = Lock()
        self._check_reads()
        self.bos, self.bos_separator = resolve_bos(tokenizer, template)
        for task in PROMPT_TASKS:
            self._check_last_token(task)
        # This comes last: another model may use this tokenizer, and must find it unchanged if the template is refused.
        self.settle()

    def settle(self) -> None:
        """Set again what a stock loader needs to make the same rows, as the tokenizer may have been edited."""
        tokenizer = self.tokenizer
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token or tokenizer.convert_ids_to_tokens(0)
        tokenizer.padding_side = "right"
        tokenizer.truncation_side = "right"
        tokenizer.chat_template = self.chat_template

    @property
    def chat_template(self) -> str:
        """The Jinja source that makes a stock loader render the same prompts."""
        return compile_chat_template(self.template, bos=self.bos, bos_separator=self.bos_separator)

    @property
    def start(self) -> str:
        """The text that every prompt begins with: BOS, or what the tokenizer has in its place."""
        return f"{self.tokenizer.bos_token}{self.bos_separator}" if self.bos else self.bos_separator

    def render(self, text: str, *, task: PromptTask | None = None, prompt: str = "") -> str:
        """Return the whole prompt of a text: BOS, a sentence-transformers prompt, demonstrations, template, text."""
        return self._render([text], task, prompt)[0]

    def _render(self, texts: Sequence[str], task: PromptTask | None, prompt: str) -> list[str]:
        before, normalize, after = self._parts(task, prompt)
        return [before + normalize(text) + after for text in texts]

    def _parts(self, task: PromptTask | None, prompt: str) -> tuple[str, Callable[[str], str], str]:
        """Return what stands before a text, how the text is normalized, and what stands after it."""
        template, prompt = self.template.route(task, prompt)
        return self.start + prompt + template.head, template.normalize, template.suffix

    def __call__(
        self, texts: Sequence[str], *, task: PromptTask | None = None, prompt: str = "", max_length: int
    ) -> list[list[int]]:
        """Return one list of token ids per text, without padding.

        ``task`` selects the template of a pair, ``prompt`` stands in front of everything but BOS. A row longer than
        ``max_length`` loses the end of its text, never of the template; TemplateError if there is no room for text.
        """
        prompts = self._render(texts, task, prompt)
        edges: list[list[int]] = []
        lengths = map(len, prompts)
        if sum(length for length in lengths if length > _CHARACTERS_PER_TOKEN * max_length) > _WORTH_CUTTING:
            cutter = PromptCutter(self.tokenizer)
            prompts = [self._cut(cutter, whole, max_length) for whole in prompts]
        elif len(prompts) >= _WORTH_SHARING:
            prompts, edges = self._without_edges(prompts, task, prompt)
        fillers = self._render(_FILLERS, task, prompt)
        if edges:
            rows, (one, other) = self._backend_ids(prompts, fillers)
            rows = [[*edges[0], *row, *edges[1]] for row in rows]
        else:
            # One call of the tokenizer does it all: a second call costs a single text 3 % of its time.
            *rows, one, other = self._ids([*prompts, *fillers])
        tail = _common_end(one, other)
        if any(len(row) >= max_length for row in rows):
            self._check_room(task, prompt, max_length)
        return [self._fit(row, tail, max_length) for row in rows]

    def token_rows(
        self, texts: Sequence[str], *, task: PromptTask | None = None, prompt: str = "", max_length: int
    ) -> TokenRows:
        """Return the rows of :meth:`__call__`, and the ids that ordinary rows begin with."""
        rows = self(texts, task=task, prompt=prompt, max_length=max_length)
        return TokenRows(rows, self.head(task, prompt), self.tokenizer.pad_token_id)

    def ids(self, strings: Sequence[str]) -> list[list[int]]:
        """Return the token ids of strings as they are, with nothing added or cut."""
        return self._ids(list(strings))

    def tail(self, task: PromptTask | None = None, prompt: str = "") -> list[int]:
        """Return the ids that every prompt ends with; they are computed anew, as the tokenizer may have been edited."""
        return _common_end(*self._ids(self._render(_FILLERS, task, prompt)))

    def head(self, task: PromptTask | None = None, prompt: str = "") -> list[int]:
        """Return the ids that prompts of ordinary texts begin with; a text that fuses with them shares fewer."""
        return _common_start(self._ids(self._render(_BEGINNINGS, task, prompt)))

    def _without_edges(
        self, prompts: list[str], task: PromptTask | None, prompt: str
    ) -> tuple[list[str], list[list[int]]]:
        """Return prompts without their shared ends, and the ids of those ends; none if a token may cross the cut."""
        before, _, after = self._parts(task, prompt)
        edges = PromptCutter(self.tokenizer).shared_ends(before, after)
        if not any(edges):
            return prompts, []
        begin, end = map(len, edges)
        return [whole[begin : len(whole) - end] for whole in prompts], [
            self._ids([edge])[0] if edge else [] for edge in edges
        ]

    def _cut(self, cutter: PromptCutter, whole: str, max_length: int) -> str:
        """Return a beginning of a very long prompt with the same first ``max_length`` tokens, or the whole prompt."""
        length = _CHARACTERS_PER_TOKEN * max_length
        while length < len(whole):
            beginning = cutter.cut(whole, length)
            if beginning is not None and len(self._ids([beginning])[0]) >= max_length:
                return beginning
            length *= _GROWTH
        return whole

    def _fit(self, row: list[int], tail: list[int], max_length: int) -> list[int]:
        if len(row) >= max_length:
            row = row[: max_length - len(tail)] + tail
        if row[-1:] != tail[-1:]:
            found, own = ("".join(self.tokenizer.convert_ids_to_tokens(ids[-1:])) for ids in (row, tail))
            raise TemplateError(f"a prompt ends in the token {found!r}, not {own!r}: begin the suffix with a quote")
        return row

    def _check_room(self, task: PromptTask | None, prompt: str, max_length: int) -> None:
        # Measure with a text of one token, as without text the prompt's two ends may fuse.
        ends = len(self.head(task, prompt)) + len(self.tail(task, prompt))
        needed = max(ends, len(self._ids([self.render("", task=task, prompt=prompt)])[0]))
        if needed >= max_length:
            raise TemplateError(
                f"max_seq_length={max_length} leaves no room for text: set it above {needed}, the template's tokens, "
                "or show fewer demonstrations"
            )

    def _check_reads(self) -> None:
        one, other = self._ids(list(_FILLERS))
        if not one or one == other:
            raise ModelError(
                f"the tokenizer {self.tokenizer.name_or_path!r} reads {_FILLERS[0]!r} and {_FILLERS[1]!r} as {one} and "
                f"{other}, so all texts would have the same vector: its files seem to be missing"
            )

    def _check_last_token(self, task: PromptTask) -> None:
        rows = self._ids(self._render(_ENDINGS, task, ""))
        if len({row[-1] for row in rows}) > 1 or not self.tail(task):
            suffix = self.template.for_task(task).suffix
            raise TemplateError(
                f"template suffix {suffix!r} fuses with the text: the embedding's token would depend on how the text "
                "ends. Add a word before the last mark, as in '\" means in one word:\"'"
            )

    def _ids(self, prompts: list[str]) -> list[list[int]]:
        # The tokenizer object keeps truncation and padding between calls, so calls need a lock.
        with self._lock.locked():
            options = {"add_special_tokens": False, "return_attention_mask": False, "verbose": False}
            encoded = self.tokenizer(prompts, padding=False, truncation=False, **options)
        return [list(ids) for ids in encoded["input_ids"]]

    def _backend_ids(self, prompts: list[str], fillers: list[str]) -> tuple[list[list[int]], list[list[int]]]:
        """Return the ids of prompts and of fillers; the backend alone tokenizes the prompts, in half the time."""
        with self._lock.locked():
            # This call also sets the backend's truncation, padding and special tokens.
            ends = self._ids(fillers)
            encoded = self.tokenizer.backend_tokenizer.encode_batch_fast(prompts, add_special_tokens=False)
        return [encoding.ids for encoding in encoded], ends


def _common_start(rows: Sequence[Sequence[int]]) -> list[int]:
    return [ids[0] for ids in takewhile(lambda ids: len(set(ids)) == 1, zip(*rows, strict=False))]


def _common_end(one: list[int], other: list[int]) -> list[int]:
    return _common_start([one[::-1], other[::-1]])[::-1]


def recover_template(tokenizer: PreTrainedTokenizerBase) -> Template | None:
    """Return the template that a tokenizer's chat template was compiled from exactly, or ``None``."""
    source = tokenizer.chat_template
    found = decompile_chat_template(source) if isinstance(source, str) else None
    if found is None:
        return None
    for bos in (None, True, False):
        if isinstance(found, RetrievalTemplate):
            found = RetrievalTemplate(replace(found.query, bos=bos), replace(found.document, bos=bos))
        else:
            found = replace(found, bos=bos)
        with suppress(TemplateError):
            begins, bos_separator = resolve_bos(tokenizer, found)
            if compile_chat_template(found, bos=begins, bos_separator=bos_separator) == source:
                return found
    return None
