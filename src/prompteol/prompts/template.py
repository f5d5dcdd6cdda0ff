"""Define the prompt template: a prefix, a slot for the text, a suffix, and demonstrations of one word in front."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, get_args

from prompteol.errors import TemplateError
from prompteol.prompts.demonstration import Demonstration
from prompteol.prompts.normalization import NormalizationMode, normalization

SLOT = "{text}"
AUTHORS_SLOT = "*sent_0*"

PromptTask = Literal["query", "document"]
PROMPT_TASKS: tuple[PromptTask, ...] = get_args(PromptTask)


@dataclass(frozen=True)
class PromptTemplate:
    """Wrap a text so that a language model's next word sums up the text.

    Args:
        prefix: what comes before the text, ``'This sentence : "'``.
        suffix: what comes after it, ``'" means in one word:"'``; its last token gives the embedding.
        normalization: ``"paper"``, ``"plain"`` or ``"none"``; see
            :func:`prompteol.prompts.normalization.normalization`.
        demonstrations: shown in front, each as the filled template, the word, and what closes it: ``".`` where the
            suffix opened a quote, else a full stop and a blank.
        bos: put the tokenizer's BOS token in front; ``None`` does so where the tokenizer does.

    Raises:
        TemplateError: no suffix, a suffix that ends in whitespace, or a normalization that does not exist.
    """

    prefix: str
    suffix: str
    normalization: NormalizationMode = "paper"
    demonstrations: tuple[Demonstration, ...] = ()
    bos: bool | None = None

    def __post_init__(self) -> None:
        normalization(self.normalization)
        if not self.suffix.strip():
            raise TemplateError(
                f"template {self.prefix + SLOT + self.suffix!r} has nothing after {SLOT}: the embedding is the state "
                "of the token that follows the text, so end it like PromptEOL does: '\" means in one word:\"'"
            )
        if self.suffix != self.suffix.rstrip():
            raise TemplateError(
                f"template suffix {self.suffix!r} ends in whitespace, which would be the embedding's token; remove it"
            )
        if any(SLOT in part or AUTHORS_SLOT in part for part in (self.prefix, self.suffix)):
            raise TemplateError(f"template {self.prefix + SLOT + self.suffix!r} has a second slot; keep one")
        object.__setattr__(self, "demonstrations", tuple(self.demonstrations))

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        normalization: NormalizationMode = "paper",
        demonstrations: Iterable[Demonstration] = (),
        bos: bool | None = None,
    ) -> PromptTemplate:
        """Read a template from a string with one slot: ``{text}``, or in the authors' form ``*sent_0*``.

        In the authors' form underscores stand for blanks: ``This_sentence_:_"*sent_0*"_means_in_one_word:"``.
        """
        authors, own = text.count(AUTHORS_SLOT), text.count(SLOT)
        if authors + own != 1:
            found = "no slot" if authors + own == 0 else f"{authors + own} slots"
            raise TemplateError(
                f"template {text!r} has {found}: write {SLOT} exactly once where the text goes, "
                'as in \'This sentence : "{text}" means in one word:"\''
            )
        prefix, _, suffix = text.strip().partition(AUTHORS_SLOT if authors else SLOT)
        if authors:
            prefix, suffix = prefix.replace("_", " "), suffix.replace("_", " ")
        return cls(prefix, suffix, normalization, tuple(demonstrations), bos)

    @property
    def around_word(self) -> tuple[str, str]:
        """What comes between the suffix and a demonstration's word, and what closes the demonstration."""
        return ("", '".') if self.suffix.endswith('"') else (" ", ". ")

    @property
    def head(self) -> str:
        """Everything before the text: the demonstrations, then the prefix."""
        before, after = self.around_word
        shown = (self.prefix + d.sentence + self.suffix + before + d.word + after for d in self.demonstrations)
        return "".join(shown) + self.prefix

    def normalize(self, text: str) -> str:
        """Prepare a text for the slot."""
        return normalization(self.normalization).apply(text)

    @property
    def rewrites(self) -> tuple[tuple[str, str], ...]:
        """The normalization as regular expressions and what replaces their matches, in order."""
        return normalization(self.normalization).rewrites

    def render(self, text: str) -> str:
        """Fill the slot with a text, which is always data, never template syntax; BOS is added by the tokenizer."""
        return self.head + self.normalize(text) + self.suffix

    def with_demonstrations(self, demonstrations: Iterable[Demonstration]) -> PromptTemplate:
        """Return this template with other demonstrations."""
        return replace(self, demonstrations=tuple(demonstrations))

    def with_normalization(self, mode: NormalizationMode) -> PromptTemplate:
        """Return this template with another normalization of texts."""
        return replace(self, normalization=mode)

    def for_task(self, task: PromptTask | None) -> PromptTemplate:
        """Return the template of a task, which is this one for both."""
        return self

    def route(self, task: PromptTask | None, prompt: str) -> tuple[PromptTemplate, str]:
        """Return the template that a sentence-transformers prompt selects, and the rest of the prompt."""
        return self, prompt

    def __str__(self) -> str:
        return self.head + SLOT + self.suffix


@dataclass(frozen=True)
class RetrievalTemplate:
    """Wrap queries in one template and documents in another; both ask for BOS, or neither does.

    ``encode_query`` takes the first; ``encode_document`` and plain ``encode`` take the second. The names of the
    tasks are also sentence-transformers prompts of such a model, so that ``encode(..., prompt_name="query")`` chooses
    too, as many tools can only pass a prompt's name.
    """

    query: PromptTemplate
    document: PromptTemplate

    def __post_init__(self) -> None:
        if self.query.bos != self.document.bos:
            raise TemplateError(f"query has bos={self.query.bos} and document bos={self.document.bos}; make them equal")

    @property
    def bos(self) -> bool | None:
        """Whether the prompts start with BOS; ``None``: as the tokenizer does."""
        return self.document.bos

    def with_demonstrations(self, demonstrations: Iterable[Demonstration]) -> RetrievalTemplate:
        """Return this pair with other demonstrations in both templates."""
        shown = tuple(demonstrations)
        return RetrievalTemplate(self.query.with_demonstrations(shown), self.document.with_demonstrations(shown))

    def with_normalization(self, mode: NormalizationMode) -> RetrievalTemplate:
        """Return this pair with another normalization of texts in both templates."""
        return RetrievalTemplate(self.query.with_normalization(mode), self.document.with_normalization(mode))

    def for_task(self, task: PromptTask | None) -> PromptTemplate:
        """Return the template of a task; ``None`` is a document."""
        return self.query if task == "query" else self.document

    def route(self, task: PromptTask | None, prompt: str) -> tuple[PromptTemplate, str]:
        """Return the template that a prompt selects, and the rest of it, which is empty where it names a task."""
        if prompt in PROMPT_TASKS:
            return self.for_task(prompt), ""  # type: ignore[arg-type]
        return self.for_task(task), prompt

    def __str__(self) -> str:
        return f"query: {self.query}\ndocument: {self.document}"


Template = PromptTemplate | RetrievalTemplate
