"""What the demo shows is what the model's own methods return, and every text in it is data."""

import re

import numpy as np
import pytest

from prompteol import PromptEOL
from prompteol.demo import markup
from prompteol.demo.panels import MOST_CHARACTERS, MOST_TEXTS, Panels
from prompteol.errors import InputError
from prompteol.prompts import Demonstration
from prompteol.saving.export.web import sample_corpus

TEXTS = ['<b>A man</b> says "hi" & goes.', "Why? 😀", "مرحبا بالعالم؟"]
DEMONSTRATION = Demonstration("A jockey riding a horse.", "Equestrian")


@pytest.fixture(scope="module")
def panels(tiny):
    return Panels(PromptEOL(tiny("llama", tied=True), device="cpu"))


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def test_vectors_words_and_neighbors_are_the_models(panels):
    model, views = panels.model, panels.views(TEXTS)
    vectors = unit(model.encode(TEXTS))
    assert np.abs(np.array([view.vector for view in views]) - vectors).max() <= 4e-6
    for view, words in zip(views, model.words(TEXTS), strict=True):
        assert [word.probability for word in view.words] == pytest.approx(
            [word.probability for word in words], abs=1e-5
        )
    corpus = unit(model.encode(sample_corpus()))
    for view, vector in zip(views, vectors, strict=True):
        best = np.sort(corpus @ vector)[::-1][:3]
        assert [score for _, score in view.neighbors] == pytest.approx(best.tolist(), abs=1e-5)


def test_a_demonstration_is_that_of_the_template(panels):
    model = panels.model
    views = panels.views(TEXTS, None, DEMONSTRATION)
    rendered = panels.rendered(TEXTS[0], None, DEMONSTRATION)
    model.set_template(demonstrations=[DEMONSTRATION])
    try:
        assert rendered == model.module.prompter.render(TEXTS[0])
        assert np.abs(np.array([view.vector for view in views]) - unit(model.encode(TEXTS))).max() <= 4e-6
        assert [word.text for word in views[0].words] == [word.text for word in model.words(TEXTS[0])]
    finally:
        model.set_template(demonstrations=[])


def test_tokens_are_told_apart_and_a_cut_text_says_so(panels):
    whole, long = panels.views(["A man sings.", "a man sings " * 400])
    assert not whole.cut
    assert long.cut
    assert len(long.tokens) == panels.model.max_seq_length
    kinds = "".join("p" if own else "t" for _, own in whole.tokens)
    assert re.fullmatch("p+t+p+", kinds)
    assert "cut off" in markup.cards([long])


def test_what_cannot_be_shown_is_said_in_one_line(panels):
    for written in ("", " \n\t\n", "a\n" * (MOST_TEXTS + 1), "a" * (MOST_CHARACTERS + 1)):
        with pytest.raises(InputError) as refused:
            panels.read(written)
        assert "\n" not in str(refused.value)
    assert panels.read(" a\n\nb ") == [" a", "b "]


def test_texts_are_escaped(panels):
    views = panels.views(TEXTS)
    for shown in (
        markup.similarity_table(views),
        markup.cards(views),
        markup.effect_table(views, views),
        markup.prompt_text(panels.rendered(TEXTS[0])),
    ):
        assert "<b>A" not in shown
        assert "&lt;b&gt;A man" in shown


def test_a_table_has_headers_and_numbers_that_can_be_read(panels):
    table = markup.similarity_table(panels.views(TEXTS))
    assert table.count('scope="row"') == table.count('scope="col"') == len(TEXTS)
    assert "<caption>" in table
    for red, green, blue, ink in re.findall(r"background:rgb\((\d+) (\d+) (\d+)\);color:#(000|fff)", table):
        assert contrast([int(red), int(green), int(blue)], ink) >= 4.5
    assert "Write a second sentence" in markup.similarity_table(panels.views(TEXTS[:1]))


def contrast(color, ink):
    parts = [value / 255 for value in color]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    luminance = float(np.dot(linear, [0.2126, 0.7152, 0.0722]))
    return (1.05 if ink == "fff" else luminance + 0.05) / (luminance + 0.05 if ink == "fff" else 0.05)


def test_a_pair_of_templates_has_a_task_and_a_technique_no_tokens(tiny):
    pair = Panels(PromptEOL(tiny("llama"), template="promptreps", device="cpu"))
    query, document = (pair.views(["A man."], task)[0].vector for task in ("query", "document"))
    assert pair.is_pair
    assert np.abs(query - unit(pair.model.encode_query("A man."))).max() <= 4e-6
    assert np.abs(document - unit(pair.model.encode_document("A man."))).max() <= 4e-6
    several = Panels(PromptEOL(tiny("llama"), technique="metaeol", device="cpu"))
    [view] = several.views(["A man."])
    assert not several.one_prompt
    assert (view.tokens, view.words) == ([], [])
