"""A card says what a visitor needs, first things first; what users wrote in it is text, and nothing else."""

import itertools
import re

import pytest
from huggingface_hub import ModelCard
from hypothesis import assume, example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from hub_server import card_errors
from prompteol import PromptEOL, merge
from prompteol.errors import TemplateError
from prompteol.prompts import Demonstration, PromptTemplate
from prompteol.saving import Manifest, training_notes
from prompteol.saving.card import write_card
from prompteol.saving.card_sections import CardFacts

HEADINGS = ["Use", "The prompt", "What it computes", "Scores", "Servers", "Limits", "License", "Citation"]
FACTS = CardFacts("me/tiny", 32, 128)
STOCK = "---\nlicense: mit\ntags: [sentence-transformers]\n---\n\n# Stock\n"
TEMPLATE = PromptTemplate('This sentence : "', '" means in one word:"')


def read(folder):
    return (folder / "README.md").read_text(encoding="utf-8")


def headings(card, level="h2"):
    tokens = MarkdownIt().parse(card.split("\n---\n", 1)[1])
    return [after.content for token, after in itertools.pairwise(tokens) if token.tag == level and token.nesting == 1]


def test_without_demonstrations(tiny, tmp_path, capsys, monkeypatch):
    model = PromptEOL(tiny("llama"), device="cpu")
    model.model_card_data.license = "mit"
    model.save_pretrained(tmp_path)
    card = read(tmp_path)
    assert headings(card) == HEADINGS
    assert card_errors(card) == []
    assert '    This sentence : "A man is playing a guitar." means in one word:"\n' in card
    assert ", without further training: each text" in card
    assert "No demonstrations are shown" in card
    assert "32 numbers a vector" in card
    data = ModelCard(card).data.to_dict()
    assert data["license"] == "mit"
    assert {"sentence-transformers", "prompteol"} <= set(data["tags"])
    assert "base_model_relation" not in data
    # What a visitor copies first runs beside the folder.
    [code] = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    monkeypatch.chdir(tmp_path.parent)
    exec(code, {})
    assert "tensor([[" in capsys.readouterr().out


def test_with_demonstrations_and_two_prompts(tiny, tmp_path, capsys, monkeypatch):
    model = PromptEOL(tiny("llama"), template="promptreps", demonstrations=[("A cat.", "pet")], device="cpu")
    model.save_pretrained(tmp_path)
    card = read(tmp_path)
    assert "A query such as" in card
    assert "A document such as" in card
    assert card.count("| A cat. | pet |") == 2
    assert "- How the demonstrations came to be: given" in card
    assert "--task document" in card
    [code] = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    monkeypatch.chdir(tmp_path.parent)
    exec(code, {})
    assert "tensor([[" in capsys.readouterr().out


def test_an_adapter_and_what_it_is_merged_to(tiny, tmp_path):
    config = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(tiny("llama")), config).save_pretrained(tmp_path / "adapter")
    adapted = PromptEOL(tmp_path / "adapter", device="cpu")
    adapted.model_card_data.base_model = "makers/tiny"
    adapted.save_pretrained(tmp_path / "saved")
    assert ModelCard(read(tmp_path / "saved")).data["base_model_relation"] == "adapter"
    merged = merge(tmp_path / "saved", device="cpu").model
    assert merged.model_card_data.base_model == "makers/tiny"
    merged.training_notes = "\n## Training\n\n- Base: mine\n"
    merged.save_pretrained(tmp_path / "merged")
    card = read(tmp_path / "merged")
    assert ModelCard(card).data["base_model_relation"] == "finetune"
    assert "[makers/tiny](https://huggingface.co/makers/tiny), fine-tuned to embed" in card
    assert "How the weights came to be: an adapter, merged with" in card
    assert headings(card) == [*HEADINGS, "Training"]


def test_a_base_by_its_name_on_the_hub_is_named(hub, tiny):
    hub.upload("me/base", tiny("llama"))
    PromptEOL("me/base", device="cpu").push_to_hub("me/prompted")
    assert ModelCard(hub.repositories["me/prompted"].files()["README.md"].decode()).data["base_model"] == "me/base"
    again = PromptEOL("me/prompted", template="prompt", device="cpu")
    assert again.model_card_data.base_model == "me/base"


@pytest.mark.parametrize("license", ["Llama 3.2: Community", "a\nb: c", ["mit", "apache-2.0"]], ids=str)
def test_a_license_that_the_hub_does_not_know_is_other(license):
    stock = ModelCard(STOCK)
    stock.data["license"] = license
    card = write_card(str(stock), Manifest(TEMPLATE, -1, True), FACTS)
    assert card_errors(card) == []
    data = ModelCard(card).data
    assert data["license"] == "other"
    assert re.fullmatch(r"[a-z0-9.-]+", data["license_name"])


def test_what_a_trainer_and_an_evaluator_wrote_stays():
    stock = (
        STOCK + "## Evaluation\n\n| a |\n\n## Training Details\n\n### Training Dataset\n\nmine\n\n## Citation\n\nno\n"
    )
    card = write_card(stock, Manifest(TEMPLATE, -1, True), FACTS)
    assert {"Evaluation", "Training Details"} < set(headings(card))
    assert "\nno\n" not in card


NASTY = [
    "```\n## Training\n\n- not mine",
    "---\nlicense: gpl-3.0\n---",
    "a | b \\| c",
    "<script>alert(1)</script> <!-- x -->",
    "[x](javascript:1) ![y](z) **b** _i_ `c` ~~d~~",
    "\r\n\r\n# Heading\r",
    "    code\n\n\n> quote",
    "{{ jinja }} {% x %} sentence_transformers_model_id",
]
texts = st.one_of(st.text(min_size=1, max_size=60), st.sampled_from(NASTY))


@given(prefix=texts, suffix=texts, sentence=texts, word=texts, how=texts)
@example("```` ", "\n```", NASTY[0], NASTY[2], NASTY[4])
@example(NASTY[1], NASTY[3], NASTY[5], NASTY[6], NASTY[7])
def test_what_users_wrote_is_text(prefix, suffix, sentence, word, how):
    try:
        template = PromptTemplate(prefix, suffix, demonstrations=(Demonstration(sentence, word),))
    except TemplateError:
        assume(False)
    notes = "\n## Training\n\n- Base: mine\n"
    plain = write_card(STOCK, Manifest(TEMPLATE, -1, True), FACTS, notes)
    card = write_card(STOCK, Manifest(template, -1, True, provenance={"template": how}), FACTS, notes)

    assert ModelCard(card).data.to_dict() == ModelCard(plain).data.to_dict()
    assert headings(card) == [*HEADINGS, "Training"]
    assert training_notes(card) == notes
    tokens = MarkdownIt().enable("table").parse(card.split("\n---\n", 1)[1])
    flat = [inner for token in tokens for inner in (token, *(token.children or ()))]
    assert not [token for token in flat if token.type.startswith(("html", "image"))]
    assert len([token for token in flat if token.type == "td_open"]) == 2
    assert {token.attrs["href"] for token in flat if token.type == "link_open"} == set()
    [block] = [token.content for token in flat if token.type == "code_block"]
    rendered = (
        template.render("A man is playing a guitar.").replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")
    )
    assert block.strip("\n").split() == rendered.split()
