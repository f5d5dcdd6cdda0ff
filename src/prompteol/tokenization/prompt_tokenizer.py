"""From texts to token ids: the whole prompt is tokenized as one string, and long text is cut, never the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from transformers import PreTrainedTokenizerBase

from prompteol.errors import ModelError, TemplateError
from prompteol.locks import Lock
from prompteol.prompts import PROMPT_TASKS, PromptTask, PromptTemplate, RetrievalTemplate, compile_chat_template
from prompteol.tokenization.bos import resolve_bos
from prompteol.tokenization.truncation import PromptCutter
from prompteol.validation import check_texts

__all__ = ["PromptTokenizer"]

# sentence-transformers finds the tail of a chat template with these two fillers, and writes it back over the end of
# a row that was cut. The same two here, so that a cut row has the same ids on both roads.
_FILLERS = ("0", "1 2 3 4")
# Characters of a prompt that are read for each token that is kept, and how many times more where they were too few.
_CHARACTERS_PER_TOKEN, _GROWTH = 16, 4
# Beginnings of ordinary texts: a capital, a small letter, a figure, another script.
_BEGINNINGS = ("A man", "the", "1", "Élan", "文字")
# Ends of texts that fuse with a closing quote in some vocabulary or other. The last token must survive them all.
_ENDINGS = ("", "a", "a.", "a?", "a!", "a)", 'a"', "a'", "a:", "a%", "a ", "1", "。", "”", "😀", '":"', "\n")


class PromptTokenizer:
    """Render texts and tokenize them.

    The text is data: it cannot reach the template. The literal text of a special token in it, such as ``</s>``, is
    read as that token, as it is by a stock loader.

    Args:
        tokenizer: of the backbone. It gets the template as its chat template, a pad token if it has none (no
            embedding is added for it), and right padding: with causal attention that is exact.
        template: to render texts with.

    Raises:
        ModelError: the tokenizer does not tell texts apart.
        TemplateError: it lacks a BOS that the template asks for, or the text could change the token that gives the
            embedding.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: PromptTemplate | RetrievalTemplate) -> None:
        self.tokenizer = tokenizer
        self.template = template
        self._tails: dict[tuple[PromptTask | None, str], list[int]] = {}
        self._heads: dict[tuple[PromptTask | None, str], list[int]] = {}
        self._lock = Lock()
        self._cutter: PromptCutter | None = None
        self._check_reads()
        self.bos, self.bos_separator = resolve_bos(tokenizer, template)
        for task in PROMPT_TASKS:
            self._check_last_token(task)
        # Only now: another model may use this tokenizer, and goes on with it if the template is refused.
        self.settle()

    def settle(self) -> None:
        """Give the tokenizer what a stock loader needs to make the same rows, whatever was done to it since."""
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
        """What stands in front of everything: the text of BOS, or of what the tokenizer has in its place."""
        return f"{self.tokenizer.bos_token}{self.bos_separator}" if self.bos else self.bos_separator

    def render(self, text: str, *, task: PromptTask | None = None, prompt: str = "") -> str:
        """Return the whole prompt of a text: BOS, a sentence-transformers prompt, demonstrations, template, text."""
        template, prompt = self.template.route(task, prompt)
        return self.start + prompt + template.render(text)

    def __call__(
        self, texts: Sequence[str], *, task: PromptTask | None = None, prompt: str = "", max_length: int
    ) -> list[list[int]]:
        """Tokenize the prompts of texts.

        Args:
            texts: any Unicode but lone surrogates.
            role: which template of a pair.
            prompt: put in front of everything but BOS.
            max_length: of a row, in tokens. A longer row loses the end of its text, never of the template.

        Returns:
            One list of ids a text, not padded.

        Raises:
            InputError: a text that is no Unicode.
            TemplateError: ``max_length`` leaves no room for any text.
        """
        check_texts(texts)
        prompts = [self.render(text, task=task, prompt=prompt) for text in texts]
        rows = self._ids([self._cut(whole, max_length) for whole in prompts])
        return [self._fit(row, task, prompt, max_length) for row in rows]

    def tail(self, task: PromptTask | None = None, prompt: str = "") -> list[int]:
        """Return the ids that every prompt ends with, whatever the text."""
        key = (task, prompt)
        if key not in self._tails:
            rows = self._ids([self.render(filler, task=task, prompt=prompt) for filler in _FILLERS])
            self._tails[key] = _common_start([row[::-1] for row in rows])[::-1]
        return self._tails[key]

    def head(self, task: PromptTask | None = None, prompt: str = "") -> list[int]:
        """Return the ids that prompts begin with, up to the last boundary that holds whatever an ordinary text is.

        A text whose first character fuses with the template's last mark begins with fewer of them.
        """
        key = (task, prompt)
        if key not in self._heads:
            rows = self._ids([self.render(start, task=task, prompt=prompt) for start in _BEGINNINGS])
            self._heads[key] = _common_start(rows)
        return self._heads[key]

    def _cut(self, whole: str, max_length: int) -> str:
        """Return the beginning of a very long prompt that has the same first ``max_length`` tokens, or all of it."""
        length = _CHARACTERS_PER_TOKEN * max_length
        while length < len(whole):
            self._cutter = self._cutter or PromptCutter(self.tokenizer)
            beginning = self._cutter.cut(whole, length)
            if beginning is not None and len(self._ids([beginning])[0]) >= max_length:
                return beginning
            length *= _GROWTH
        return whole

    def _fit(self, row: list[int], task: PromptTask | None, prompt: str, max_length: int) -> list[int]:
        tail = self.tail(task, prompt)
        if len(row) >= max_length:
            self._check_room(task, prompt, max_length)
            row = row[: max_length - len(tail)] + tail
        if row[-1] != tail[-1]:
            raise TemplateError(
                f"the prompt of a text ends in the token {self.tokenizer.convert_ids_to_tokens(row[-1])!r}, not in the "
                f"template's {self.tokenizer.convert_ids_to_tokens(tail[-1])!r}: begin the suffix with a quote"
            )
        return row

    def _check_room(self, task: PromptTask | None, prompt: str, max_length: int) -> None:
        # A text of one token between the prompt's two ends: with nothing there, the ends may fuse.
        ends = len(self.head(task, prompt)) + len(self.tail(task, prompt))
        needed = max(ends, len(self._ids([self.render("", task=task, prompt=prompt)])[0]))
        if needed >= max_length:
            raise TemplateError(
                f"max_seq_length={max_length} leaves no room for text: the template alone takes {needed} tokens; "
                f"set it above {needed}, or show fewer demonstrations"
            )

    def _check_reads(self) -> None:
        one, other = self._ids(list(_FILLERS))
        if not one or one == other:
            raise ModelError(
                f"the tokenizer {self.tokenizer.name_or_path!r} reads {_FILLERS[0]!r} and {_FILLERS[1]!r} as {one} and "
                f"{other}, so texts would have one vector: its files seem to be missing"
            )

    def _check_last_token(self, task: PromptTask) -> None:
        rows = self._ids([self.render(ending, task=task) for ending in _ENDINGS])
        if len({row[-1] for row in rows}) > 1 or not self.tail(task):
            suffix = self.template.for_task(task).suffix
            raise TemplateError(
                f"template suffix {suffix!r} fuses with the text: the embedding's token would depend on how the text "
                "ends. Add a word before the last mark, as in '\" means in one word:\"'"
            )

    def _ids(self, prompts: list[str]) -> list[list[int]]:
        # The tokenizer object carries its truncation and padding from call to call, hence the lock.
        with self._lock.held():
            encoded = self.tokenizer(
                prompts,
                add_special_tokens=False,
                padding=False,
                truncation=False,
                return_attention_mask=False,
                verbose=False,
            )
        return [list(ids) for ids in encoded["input_ids"]]


def _common_start(rows: Sequence[Sequence[int]]) -> list[int]:
    return [ids[0] for ids in takewhile(lambda ids: len(set(ids)) == 1, zip(*rows, strict=False))]
