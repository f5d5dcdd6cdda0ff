"""What the demo shows is what the model's own methods return, and every text in it is data."""

import re

import numpy as np
import pytest

from prompteol import PromptEOL
from prompteol.demo import markup
from prompteol.demo.panels import MOST_TEXTS, Panels
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
    for view, words in zip(views, model.words(TEXTS, contrast=False), strict=True):
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
        assert [word.text for word in views[0].words] == [word.text for word in model.words(TEXTS[0], contrast=False)]
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
    for written in (None, "", " \n\t\n"):
        with pytest.raises(InputError) as refused:
            panels.read(written)
        assert "\n" not in str(refused.value)
    # The lines of the static page, which are those of a text field.
    assert panels.read(" a\n\nb \r\nc\rd\u2028e") == ([" a", "b ", "c", "d\u2028e"], 0)
    assert panels.read("a\n" * (MOST_TEXTS + 3)) == (["a"] * MOST_TEXTS, 3)


def test_a_line_of_any_length_is_cut_and_says_so(panels):
    texts, _ = panels.read("word " * 10_000)
    [view] = panels.views(texts)
    assert view.cut
    assert len(view.tokens) == panels.model.max_seq_length
    # Exactly full, a text has lost nothing.
    words = "word " * (len(view.tokens) // 2)
    while not panels.views([words])[0].cut:
        full, words = words, words + "word "
    assert len(panels.views([full])[0].tokens) <= panels.model.max_seq_length


def test_a_demonstration_without_room_says_how_much_there_is(panels):
    with pytest.raises(
        InputError, match=r"too long for this model: it has \d+ tokens, and there is room for \d+\."
    ) as refused:
        panels.views(["A man."], None, Demonstration("word " * 10_000, "Long"))
    tokens, room = map(int, re.findall(r"\d+", str(refused.value)))
    assert tokens > panels.model.max_seq_length > room > 0
    assert "max_seq_length" not in str(refused.value)


def test_texts_are_escaped(panels):
    views = panels.views(TEXTS)
    for shown in (
        markup.similarity_table(views),
        markup.cards(views),
        markup.moves_table(views, views),
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


def test_an_effect_is_that_of_the_static_page(panels):
    before, after = panels.views(TEXTS), panels.views(TEXTS, None, DEMONSTRATION)
    moves, changes = markup.moves_table(before, after), markup.changes_table(before, after)
    assert moves.count('<td class="words">') == 2 * len(TEXTS)
    rows = re.findall(r"(\d) and (\d)</th>" + 3 * r'<td class="number">(.*?)</td>', changes)
    assert [row[:2] for row in rows] == [("1", "2"), ("1", "3"), ("2", "3")]
    for one, other, *numbers in rows:
        was, now = (views[int(one) - 1].vector @ views[int(other) - 1].vector for views in (before, after))
        said = [float(number.replace("−", "-")) for number in numbers]
        assert said == pytest.approx([was, now, now - was], abs=0.006)
    assert markup.changes_table(before[:1], after[:1]) == ""
    assert f"Its vector, {len(before[0].vector)} numbers" in markup.cards(before)


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
