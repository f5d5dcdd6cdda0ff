"""Sets of demonstrations read back as they were written, and a fault is found with its file and line."""

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompteol import DEMONSTRATIONS, Demonstration
from prompteol.demonstrations import (
    check_demonstration,
    default_demonstrations,
    distinct,
    read_demonstrations,
    write_demonstrations,
)
from prompteol.errors import CorpusError, TemplateError

SET = [Demonstration("A jockey riding a horse.", "Equestrian"), Demonstration('She said "no", twice', "Refusal")]
LINE = 'This_sentence_:_"{}"_means_in_one_word:"{}".This_sentence_:_"*sent_0*"_means_in_one_word:"\n'


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv", ".txt"])
def test_what_is_written_is_read(tmp_path, suffix):
    path = tmp_path / f"set{suffix}"
    write_demonstrations(path, SET)
    assert read_demonstrations(path) == SET
    with pytest.raises(CorpusError, match="exists already"):
        write_demonstrations(path, SET)
    write_demonstrations(path, SET[:1], force=True)
    assert read_demonstrations(path) == SET[:1]


@given(st.text(min_size=1), st.text(min_size=1))
def test_any_text_that_can_be_used_survives_jsonl_and_csv(tmp_path_factory, sentence, word):
    try:
        one = check_demonstration(sentence, word)
    except TemplateError:
        return
    folder = tmp_path_factory.mktemp("set")
    for name in ("set.jsonl", "set.csv"):
        write_demonstrations(folder / name, [one])
        assert read_demonstrations(folder / name) == [one]


def test_the_authors_file(tmp_path):
    shown = list(DEMONSTRATIONS.values())
    path = tmp_path / "icl_examples.txt"
    path.write_text("".join(LINE.format(one.sentence.replace(" ", "_"), one.word) for one in shown))
    assert read_demonstrations(path) == shown

    write_demonstrations(tmp_path / "again.txt", shown)
    assert (tmp_path / "again.txt").read_text() == path.read_text()


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a.jsonl", '{"sentence": "A dog.", "word": "Dog"}\n{"sentence": "A cat.", "word": "Two words"}\n', "line 2"),
        ("a.jsonl", '{"sentence": "A dog.", "word": ""}\n', "line 1.*exactly one word"),
        ("a.jsonl", '\n{"sentence": " ", "word": "Dog"}\n', "line 2.*blank"),
        ("a.jsonl", '{"sentence": "A {text} dog.", "word": "Dog"}\n', "line 1.*belongs to a template"),
        ("a.jsonl", '{"sentence": "It  MEANS in one word: dog.", "word": "Dog"}\n', "line 1.*belongs to a template"),
        ("a.jsonl", '{"sentence": "A dog."}\n', "line 1.*'word'|no column 'word'"),
        ("a.jsonl", '{"sentence": "A dog.", "word": "Dog"\n', "line 1: not JSON"),
        ("a.csv", 'sentence,word\nA dog.,Dog\nA cat.,"Ca""t"\n', "line 3.*double quote"),
        ("a.csv", "sentence,label\nA dog.,Dog\n", "no column 'word'"),
        ("a.csv", 'sentence,word\n"two\nlines",Dog\n', "line 3.*several lines"),
        ("a.txt", LINE.format("A_dog.", "Dog") + "A dog.\n", "line 2.*no template"),
        ("a.txt", 'This_sentence_:_"*sent_0*"_means_in_one_word:"\n', "line 1.*shows 0"),
        ("a.txt", LINE.format("A_dog.", "Dog").replace("This", "That", 1), "line 1.*different templates"),
        ("a.txt", "\n\n", "no demonstration"),
    ],
)
def test_a_fault_is_named_with_its_line(tmp_path, name, text, problem):
    (tmp_path / name).write_text(text)
    with pytest.raises((CorpusError, TemplateError), match=problem) as caught:
        read_demonstrations(tmp_path / name)
    assert name in str(caught.value)


def test_what_cannot_be_written_leaves_no_file(tmp_path):
    with pytest.raises(TemplateError, match="underscore"):
        write_demonstrations(tmp_path / "a.txt", [Demonstration("snake_case", "Style")])
    with pytest.raises(CorpusError, match="ends in one of"):
        write_demonstrations(tmp_path / "a.parquet", SET)
    assert list(tmp_path.iterdir()) == []


def test_sentences_once_and_in_a_seeded_order():
    doubled = [*SET, Demonstration("a jockey  riding a horse", "Riding")]
    assert distinct(doubled) == SET
    many = [Demonstration(f"Sentence {number}.", "Word") for number in range(50)]
    assert distinct(many, seed=1) == distinct(many, seed=1) != distinct(many, seed=2)
    assert sorted(map(str, distinct(many, seed=1))) == sorted(map(str, many))
    assert len(distinct(many, count=7, seed=1)) == 7


def test_the_shipped_set_is_clean(data):
    shown = default_demonstrations()
    assert len(shown) == len({one.word for one in shown}) >= 100
    known = set((data / "evaluation_sentence_hashes.txt").read_text().split())
    plain = [re.sub("[^0-9a-z]+", " ", one.sentence.casefold()).strip() for one in shown]
    assert not known & {hashlib.sha1(text.encode()).hexdigest()[:16] for text in plain}
