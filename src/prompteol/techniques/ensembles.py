"""Configure ensembles of prompts, whose states are averaged; MetaEOL's eight among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from prompteol.errors import SettingError
from prompteol.prompts import TEMPLATES, PromptTemplate, RetrievalTemplate
from prompteol.techniques.protocol import ForwardTechnique
from prompteol.techniques.registry import register_technique

# Lei et al., ACL 2024, as in the authors' code: classification, sentiment, paraphrase and extraction, two each.
METAEOL = (
    "In this task, you're presented with a text excerpt. Your task is to categorize the excerpt into a broad "
    "category such as 'Education', 'Technology', 'Health', 'Business', 'Environment', 'Politics', or "
    "'Culture'. These categories help in organizing content for better accessibility and targeting. For this "
    'task, this sentence : "{text}" should be classified under one general category in one word:"',
    "In this task, you're given a statement and you need to determine whether it's presenting an 'Opinion' "
    "or a 'Fact'. This distinction is vital for information verification, educational purposes, and content "
    'analysis. For this task, this sentence : "{text}" discriminates between opinion and fact in one word:"',
    "In this task, you're given a review from an online platform. Your task is to generate a rating for the "
    "product based on the review on a scale of 1-5, where 1 means 'extremely negative' and 5 means "
    '\'extremely positive\'. For this task, this sentence : "{text}" reflects the sentiment in one word:"',
    "In this task, you're reading a personal diary entry. Your task is to identify the predominant emotion "
    'expressed, such as joy, sadness, anger, fear, or love. For this task, this sentence : "{text}" conveys '
    'the emotion in one word:"',
    "In this task, you're presented with two sentences. Your task is to assess whether the sentences convey "
    "the same meaning. Use 'identical', 'similar', 'different', or 'unrelated' to describe the relationship. "
    'To enhance the performance of this task, this sentence : "{text}" means in one word:"',
    "In this task, you're given a sentence and a phrase. Your task is to determine if the phrase can be a "
    "contextual synonym within the given sentence. Options include 'yes', 'no', or 'partially'. To enhance "
    'the performance of this task, this sentence : "{text}" means in one word:"',
    "In this task, you're examining a news article. Your task is to extract the most critical fact from the "
    'article. For this task, this sentence : "{text}" encapsulates the key fact in one word:"',
    "In this task, you're reviewing a scientific abstract. Your task is to identify the main entities (e.g., "
    'proteins, diseases) and their relations (e.g., causes, treats). For this task, this sentence : "{text}" '
    'highlights the primary entity or relation in one word:"',
)


@dataclass(frozen=True)
class PromptEnsemble(ForwardTechnique):
    """Average the states of several prompts, each with the normalization and demonstrations of the model's own."""

    wordings: str | Sequence[str] = field(
        default="pretended-cot+knowledge-enhancement",
        metadata={"help": "names of templates, or wordings with one {text}; in a string, with + between them"},
    )

    def __post_init__(self) -> None:
        given = as_wordings("prompt-ensemble", self.wordings) or ()
        if len(given) < 2 or len(set(given)) < len(given):
            raise SettingError(
                f"prompt-ensemble: wordings={self.wordings!r} are not two or more different ones: give names or "
                "wordings, such as 'pretended-cot+knowledge-enhancement'"
            )
        object.__setattr__(self, "wordings", given)

    def templates(self, template: PromptTemplate) -> Sequence[PromptTemplate]:
        """Return the model's own template in each wording."""
        return [reworded(template, one) for one in self.wordings]


@dataclass(frozen=True)
class MetaEOL(ForwardTechnique):
    """Average the states of MetaEOL's eight prompts (Lei et al., ACL 2024)."""

    def templates(self, template: PromptTemplate) -> Sequence[PromptTemplate]:
        """Return the model's own template in each wording."""
        return [reworded(template, one) for one in METAEOL]


def as_wordings(name: str, given: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Return wordings with a slot from names, wordings, ``"metaeol"`` or a string with + between them; None stays."""
    if given is None:
        return None
    parts = [*METAEOL] if given == "metaeol" else given.split("+") if isinstance(given, str) else list(given)
    return tuple(_wording(name, part) for part in parts)


def _wording(name: str, given: str) -> str:
    template = TEMPLATES.get(given) or PromptTemplate.parse(given)
    if isinstance(template, RetrievalTemplate):
        raise SettingError(f"{name}: {given!r} is a pair of templates: name single ones")
    return str(template.with_demonstrations(()))


def reworded(template: PromptTemplate, wording: str) -> PromptTemplate:
    """Return a template in another wording, with the normalization and demonstrations that it has."""
    other = PromptTemplate.parse(wording)
    return replace(template, prefix=other.prefix, suffix=other.suffix)


register_technique("prompt-ensemble", PromptEnsemble)
register_technique("metaeol", MetaEOL)
