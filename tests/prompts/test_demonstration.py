"""A demonstration is a sentence and one word, in whatever form it is written."""

import pytest

from prompteol import Demonstration
from prompteol.errors import TemplateError
from prompteol.prompts import resolve_demonstrations


@pytest.mark.parametrize(
    ("sentence", "word"), [("A horse.", ""), ("A horse.", " "), ("A horse.", "two words"), ("", "Horse"), ("a", 1)]
)
def test_a_demonstration_needs_a_sentence_and_one_word(sentence, word):
    with pytest.raises(TemplateError, match="demonstration"):
        Demonstration(sentence, word)


def test_demonstrations_are_read_in_every_form():
    expected = (Demonstration("A jockey riding a horse.", "Equestrian"),)
    assert resolve_demonstrations("opt-2.7b") == expected
    assert resolve_demonstrations("A jockey riding a horse. => Equestrian") == expected
    assert resolve_demonstrations([("A jockey riding a horse.", "Equestrian")]) == expected
    assert resolve_demonstrations(["A jockey riding a horse.=>Equestrian"]) == expected
    for wrong in ("opt-3b", [("a",)], ["no arrow"], [5]):
        with pytest.raises(TemplateError):
            resolve_demonstrations(wrong)
