"""A share of each batch is put into other templates, drawn by the texts alone, and the model's own prompt stays."""

from dataclasses import replace

import pytest

from prompteol import PromptEOL
from prompteol.errors import SettingError, TemplateError
from prompteol.prompts import Demonstration, PromptTemplate
from prompteol.training import Recipe, train
from prompteol.training.prompting import TrainingPrompts

SHOWN = PromptTemplate(
    'Text: "', '" in a word: "', normalization="plain", demonstrations=(Demonstration("A cat.", "Cat"),)
)
EXTRA = ("pretended-cot", "promptreps", SHOWN)


def decoded(model, features):
    return [
        model.tokenizer.decode(ids[mask.bool()])
        for ids, mask in zip(features["input_ids"], features["attention_mask"], strict=True)
    ]


@pytest.fixture
def model(tiny):
    return PromptEOL(tiny("llama"), device="cpu")


def test_a_share_of_the_batch_is_under_other_templates(model):
    texts = [f"dog number {number}" for number in range(24)]
    prompts = TrainingPrompts(model, Recipe(extra_templates=EXTRA, extra_share=0.5))
    rows = decoded(model, prompts(texts, prompt="query"))
    assert all(text in row for text, row in zip(texts, rows, strict=True))
    begins = ("<s>This sentence", "<s>After thinking", '<s>Query: "', '<s>Text: "A cat." in a word: "Cat".Text: "')
    counted = [sum(row.startswith(begin) for row in rows) for begin in begins]
    assert counted == [12, 4, 4, 4]
    assert decoded(model, prompts(texts, prompt="query")) == rows
    assert decoded(model, prompts(texts[::-1], prompt="query")) != rows[::-1]
    assert any(row.startswith('<s>Passage: "') for row in decoded(model, prompts(texts, prompt="document")))


def test_the_models_own_prompt_stays(model):
    own = model.tokenizer.chat_template
    TrainingPrompts(model, Recipe(extra_templates=EXTRA))
    assert model.tokenizer.chat_template == own


def test_empty_queries_are_left_out(model):
    prompts = TrainingPrompts(model, Recipe())
    assert prompts(["", ""], prompt="query") == {}
    assert len(prompts(["", "a", "b"], prompt="query")["input_ids"]) == 2


def test_a_training_under_several_templates(tiny, tmp_path, triplets, quick):
    """Resumed it draws the same, and its rows are packed behind every template's head."""
    recipe = replace(quick, lora=None, learning_rate=1e-3, extra_templates=EXTRA, extra_share=0.4)
    whole = train(tiny("llama"), tmp_path / "whole", triplets, recipe, device="cpu")
    padded = train(tiny("llama"), tmp_path / "padded", triplets, replace(recipe, packing=False), device="cpu")
    plain = train(tiny("llama"), tmp_path / "plain", triplets, replace(recipe, extra_templates=()), device="cpu")
    ours, theirs, others = ([point.loss for point in one.curve] for one in (whole, padded, plain))
    assert ours == pytest.approx(theirs, abs=1e-4)
    assert ours != pytest.approx(others, abs=1e-2)
    assert "extra_templates ['pretended-cot', 'promptreps'" in (tmp_path / "whole" / "README.md").read_text()
    assert "extra_templates" not in (tmp_path / "plain" / "README.md").read_text()


def test_templates_that_are_none(tiny, tmp_path, triplets):
    with pytest.raises(TemplateError, match="no preset"):
        Recipe(extra_templates=("pretended",))
    with pytest.raises(SettingError, match="extra_share=1"):
        Recipe(extra_templates=("prompt",), extra_share=1)
    model = PromptEOL(tiny("llama"), technique="prompt-ensemble", device="cpu")
    with pytest.raises(SettingError, match="extra_templates with a technique"):
        TrainingPrompts(model, Recipe(extra_templates=("prompt",)))
