"""A demonstration: one sentence, and the one word it means."""

from __future__ import annotations

from dataclasses import dataclass

from prompteol.errors import TemplateError

__all__ = ["Demonstration"]


@dataclass(frozen=True)
class Demonstration:
    """Show the model what to do: a sentence and the word that sums it up.

    The sentence stands in the prompt as it is, without normalization, as the paper's demonstrations do.

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
            raise TemplateError(
                f"a demonstration needs exactly one word for {self.sentence!r}, not {self.word!r}; "
                "write a compound with a hyphen"
            )

    @classmethod
    def parse(cls, text: str) -> Demonstration:
        """Read ``"sentence=>word"``; blanks around the two parts do not count.

        Raises:
            TemplateError: there is no ``=>``, or a part of it cannot be used.
        """
        sentence, arrow, word = text.rpartition("=>")
        if not arrow:
            raise TemplateError(f'demonstration {text!r} has no "=>": write "A jockey riding a horse.=>Equestrian"')
        return cls(sentence.strip(), word.strip())
