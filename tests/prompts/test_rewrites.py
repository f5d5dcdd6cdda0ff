"""An exported tokenizer's rewrites give the same string as Python does, for every text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, normalizers

from prompteol.prompts.normalization import normalization

MARKS = " \t\n\x1c\x85\u00a0\u2028\u3000.?!\"'”’)]}»…。؟:;ab1É"
TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.text(st.sampled_from(MARKS))


def rewritten(mode, text):
    steps = normalization(mode).rewrites
    return normalizers.Sequence([normalizers.Replace(Regex(old), new) for old, new in steps]).normalize_str(text)


@pytest.mark.parametrize("mode", ["paper", "plain", "none"])
@given(text=TEXTS)
def test_rewrites_are_what_python_does(mode, text):
    assert rewritten(mode, text) == normalization(mode).apply(text)


@pytest.mark.parametrize(
    ("mode", "text", "expected"),
    [
        ("paper", ' Is it "so"?\n', "Is it 'so'."),
        ("paper", "Why?", "Why."),
        ("plain", 'He said "no."', 'He said "no."'),
        ("plain", 'He said "no"', 'He said "no".'),
        ("plain", ")))", ")))."),
        ("plain", " \x1c ", ""),
    ],
)
def test_some_by_hand(mode, text, expected):
    assert rewritten(mode, text) == normalization(mode).apply(text) == expected
