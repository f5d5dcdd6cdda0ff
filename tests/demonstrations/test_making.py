"""Demonstrations made from definitions, by the model itself, by whoever answers; seeded, checked, without repeats."""

import pytest

from prompteol import Demonstration, PromptEOL
from prompteol.demonstrations import (
    demonstrations_from_definitions,
    demonstrations_from_model,
    demonstrations_from_sentences,
    read_wordnet,
)
from prompteol.errors import CorpusError, InputError, TemplateError

SENTENCES = ["A man sings.", "A dog runs.", "a  man sings", "Rain falls on the roof."]


def test_definitions_make_demonstrations():
    entries = [("meat from a deer", "venison"), ("to sing", "ice cream"), ("able to bend.", "flexible")]
    assert demonstrations_from_definitions(entries) == [
        Demonstration("meat from a deer.", "Venison"),
        Demonstration("able to bend.", "Flexible"),
    ]
    with pytest.raises(TemplateError, match="none of these"):
        demonstrations_from_definitions([("cold sweet", "ice cream")])


def test_a_seed_decides_which_definitions():
    entries = [(f"the number {number}", f"word{number}") for number in range(100)]
    assert [one.word for one in demonstrations_from_definitions(entries, count=2)] == ["Word0", "Word1"]
    chosen = demonstrations_from_definitions(entries, count=10, seed=3)
    assert chosen == demonstrations_from_definitions(entries, count=10, seed=3)
    assert chosen != demonstrations_from_definitions(entries, count=10, seed=4)
    assert len(chosen) == 10


def test_wordnet(tmp_path):
    (tmp_path / "data.noun").write_text(
        "  1 This software and database is being provided to you...\n"
        "07662430 13 n 01 venison 0 001 @ 07661234 n 0000 | meat from a deer used as food  \n"
        '02084071 05 n 02 domestic_dog 0 dog 0 000 | a member of the genus Canis; "the dog barked"  \n'
    )
    (tmp_path / "data.adj").write_text(
        '01234567 00 a 01 galore(ip) 0 000 | (used after nouns) in great numbers; "daffodils galore"\n'
    )
    entries = list(read_wordnet(tmp_path, ("noun", "adj")))
    assert entries == [
        ("meat from a deer used as food", "venison"),
        ("a member of the genus Canis", "domestic dog"),
        ("in great numbers", "galore"),
    ]
    assert [one.word for one in demonstrations_from_definitions(entries)] == ["Venison", "Galore"]
    with pytest.raises(CorpusError, match=r"data\.verb"):
        list(read_wordnet(tmp_path, ("verb",)))
    (tmp_path / "data.verb").write_text("nonsense\n")
    with pytest.raises(CorpusError, match="line 1"):
        list(read_wordnet(tmp_path, ("verb",)))


def test_the_model_chooses_its_own_words(tiny):
    model = PromptEOL(tiny("llama"), device="cpu")
    made = demonstrations_from_model(SENTENCES, model)
    assert 0 < len(made) <= 3
    for one in made:
        spoken = [word.text.strip("\"'.,;:!?").lower() for word in model.words(one.sentence, k=10, contrast=False)]
        assert one.word.lower() in spoken


def test_a_callable_is_asked_the_papers_question_and_no_more_than_needed():
    asked = []

    def ask(question):
        asked.append(question)
        return '"Music."\nBecause he sings.'

    made = demonstrations_from_sentences(SENTENCES, ask, count=2)
    assert made == [Demonstration("A man sings.", "Music"), Demonstration("A dog runs.", "Music")]
    assert asked[0] == 'This sentence : "A man sings." means in one word:"'
    assert len(asked) == 2


def test_a_langchain_chat_model():
    chat = pytest.importorskip("langchain_core.language_models.fake_chat_models")
    model = chat.FakeListChatModel(responses=["Music", "A running dog", "rain"])
    made = demonstrations_from_sentences(SENTENCES, model)
    assert made == [Demonstration("A man sings.", "Music"), Demonstration("Rain falls on the roof.", "Rain")]


def test_a_chat_model_that_answers_in_blocks():
    chat = pytest.importorskip("langchain_core.language_models.fake_chat_models")
    messages = pytest.importorskip("langchain_core.messages")
    answers = [messages.AIMessage(content=[{"type": "text", "text": word}]) for word in ("Music", "Dog", "Rain")]
    model = chat.FakeMessagesListChatModel(responses=answers)
    made = demonstrations_from_sentences(SENTENCES, model, count=1)
    assert made == [Demonstration("A man sings.", "Music")]


def test_who_cannot_answer():
    with pytest.raises(InputError, match="no callable"):
        demonstrations_from_sentences(SENTENCES, 3)
    with pytest.raises(InputError, match="not a string"):
        demonstrations_from_sentences(SENTENCES, lambda question: 3)
    with pytest.raises(TemplateError, match="none of these"):
        demonstrations_from_sentences(SENTENCES, lambda question: "")
