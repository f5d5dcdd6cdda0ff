"""Define a demonstration, a sentence and its one word, and refuse what is no demonstration."""

from __future__ import annotations

from dataclasses import dataclass

from prompteol.errors import TemplateError


@dataclass(frozen=True)
class Demonstration:
    """Show the model what to do: a sentence and the word that sums it up.

    The sentence is put into the prompt as it is, without normalization, as the paper's demonstrations do.

    Args:
        sentence: for instance ``"A jockey riding a horse."``.
        word: for instance ``"Equestrian"``; hyphens are fine, blanks are not.

    Raises:
        TemplateError: the sentence is blank, or the word is empty or more than one.
    """

    sentence: str
    word: str

    def __post_init__(self) -> None:
        for name, value in (("sentence", self.sentence), ("word", self.word)):
            if not isinstance(value, str):
                raise TemplateError(f"demonstration {name}={value!r} is {type(value).__name__}, not a string")
        if not self.sentence.strip():
            raise TemplateError(f"a demonstration needs a sentence for the word {self.word!r}; it is blank")
        if self.word.split() != [self.word]:
            where = f"for {self.sentence!r}, not {self.word!r}"
            raise TemplateError(f"a demonstration needs exactly one word {where}; write a compound with a hyphen")

    @classmethod
    def parse(cls, text: str) -> Demonstration:
        """Read ``"sentence=>word"``; blanks around the two parts are ignored."""
        sentence, arrow, word = text.rpartition("=>")
        if not arrow:
            raise TemplateError(f'demonstration {text!r} has no "=>": write "A jockey riding a horse.=>Equestrian"')
        return cls(sentence.strip(), word.strip())


def as_demonstration(item: str | Demonstration | tuple[str, str]) -> Demonstration:
    """Return a demonstration from itself, a ``"sentence=>word"`` string or a pair."""
    if isinstance(item, Demonstration):
        return item
    if isinstance(item, str):
        return Demonstration.parse(item)
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise TemplateError(f"demonstration {item!r} is no (sentence, word) pair")
    return Demonstration(*item)
