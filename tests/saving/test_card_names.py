"""A card names the folder, and the repository once it is pushed; a card that was edited keeps its edits."""

import json
import re
import shlex

import pytest
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from hub_server import card_errors
from prompteol import PromptEOL, export
from prompteol.prompts import PromptTemplate
from prompteol.saving import Manifest, named
from prompteol.saving.card import renamed, write_card
from prompteol.saving.card_sections import CardFacts, use
from prompteol.saving.export import push

HEADINGS = ("Use", "The prompt", "What it computes", "Scores", "Servers", "Limits", "License", "Citation", "Training")
STOCK = "---\nlicense: mit\n---\n"
MANIFEST = Manifest(PromptTemplate('This sentence : "', '" means in one word:"'), -1, True)


def read(folder):
    return (folder / "README.md").read_text(encoding="utf-8")


def pushed(hub, name, branch="main"):
    return hub.repositories[name].files(branch)["README.md"].decode()


def title(card):
    return re.search(r"^# (.*)$", card, re.MULTILINE)[1]


def test_the_default_has_a_card_as_every_other(hub, tmp_path):
    model = PromptEOL(device="cpu")
    model.save_pretrained(tmp_path / "mine")
    model.push_to_hub("me/mine")
    here, there = ("mine", read(tmp_path / "mine"), "mine/README.md"), ("me/mine", pushed(hub, "me/mine"), "README.md")
    for name, card, file in (here, there):
        assert title(card) == name
        assert f"\nprompteol evaluate -m {name} --tasks sts --card {file}\n" in card
        assert re.findall(r"^## (.*)$", card, re.MULTILINE) == list(HEADINGS)
        assert f'SentenceTransformer("{name}")' in card
        assert f"prompteol export -m {name} -o served" in card
        assert "path/to/this/folder" not in card
        assert '    This sentence : "A man is playing a guitar." means in one word:"' in card
        assert "| WordNet 3 | WordNet 3.0 license |" in card.partition("## Training")[2]
        assert "| its teacher, all-MiniLM-L6-v2 | 72.36" in card.partition("## Training")[2]
        assert card_errors(card) == []
        data = ModelCard(card).data.to_dict()
        assert data["license"] == "apache-2.0"
        assert data["language"] == ["en"]
        assert "base_model" not in data
        assert model.fingerprint() in card


def test_the_default_is_not_said_to_be_its_teacher(tmp_path):
    PromptEOL(device="cpu", demonstrations=[("A jockey.", "rider")], layer=-2).save_pretrained(tmp_path / "shown")
    card = read(tmp_path / "shown")
    summary = card.partition("## Use")[0]
    assert "MiniLM" not in summary
    assert "by a causal language model of the architecture `llama`, fine-tuned to embed" in summary
    assert "| A jockey. | rider |" in card
    assert "Layer `-2`" in card


def test_a_card_that_was_edited_is_kept_under_its_new_name(hub, tiny, tmp_path):
    demonstrations = [('model = SentenceTransformer("first") prompteol evaluate -m first', "first")]
    PromptEOL(tiny("llama"), demonstrations=demonstrations, device="cpu").save_pretrained(tmp_path / "first")
    file = tmp_path / "first" / "README.md"
    before = read(tmp_path / "first")
    file.write_text(before + "\nI saw first things.\n", encoding="utf-8")
    PromptEOL(tmp_path / "first", device="cpu").save_pretrained(tmp_path / "second")
    second = read(tmp_path / "second")
    assert title(second) == named(second) == "second"
    assert "\nprompteol evaluate -m second --tasks sts --card second/README.md\n" in second
    assert "prompteol export -m second -o served" in second
    assert second.endswith("\nI saw first things.\n")
    # What was typed in the prompt is as it was.
    assert second.count('SentenceTransformer("first")') == before.count('SentenceTransformer("first")') - 1
    model = PromptEOL(tmp_path / "second", device="cpu")
    model.push_to_hub("me/third")
    model.push_to_hub("me/fourth", local_model_path=str(tmp_path / "second"))
    for name in ("me/third", "me/fourth"):
        assert title(pushed(hub, name)) == named(pushed(hub, name)) == name
        assert f"\nprompteol evaluate -m {name} --tasks sts --card README.md\n" in pushed(hub, name)
    assert renamed(pushed(hub, "me/third"), CardFacts("copy")) == pushed(hub, "me/third")
    assert read(tmp_path / "second") == second


def test_a_card_of_the_first_version_gets_a_name():
    card = '# prompteol/tiny\n\n```python\nmodel = SentenceTransformer("sentence_transformers_model_id")\n```\n'
    assert renamed(card, CardFacts("me/x")) == '# me/x\n\n```python\nmodel = SentenceTransformer("me/x")\n```\n'


@pytest.mark.parametrize(
    "name",
    [
        "my model's $HOME",
        'a"b\\c',
        "---\nlicense: gpl",
        "```\n# x",
        "[x](y) <b>",
        "module: {a}",
        "módel 文",
        "\udcff",
        "|",
    ],
)
def test_any_folder_name_stays_a_name(name):
    card = write_card(STOCK, MANIFEST, CardFacts(name))
    plain = write_card(STOCK, MANIFEST, CardFacts("plain"))
    card.encode()
    assert ModelCard(card).data.to_dict() == ModelCard(plain).data.to_dict()
    kinds = [[token.type for token in MarkdownIt().parse(one.split("\n---\n", 1)[1])] for one in (card, plain)]
    assert kinds[0] == kinds[1]
    assert named(card) == CardFacts(name).title
    again = renamed(plain, CardFacts(name))
    assert again == card
    assert renamed(card, CardFacts("plain")) == plain
    command = re.search(r"^prompteol evaluate .*$", card, re.MULTILINE)[0]
    assert shlex.split(command)[3] == CardFacts(name).title


def test_a_base_that_is_no_name_of_the_hub_is_left_out():
    stock = ModelCard(STOCK)
    stock.data["base_model"] = "x](javascript:alert(1)) <b>"
    card = write_card(str(stock), MANIFEST, CardFacts("tiny"))
    assert "javascript" not in card
    assert card_errors(card) == []


def test_an_adapter_says_that_peft_is_needed(tiny, tmp_path):
    config = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(tiny("llama")), config).save_pretrained(tmp_path / "adapter")
    PromptEOL(tmp_path / "adapter", device="cpu").save_pretrained(tmp_path / "saved")
    assert 'pip install -U "sentence-transformers>=5.6" peft\n' in read(tmp_path / "saved")
    PromptEOL(tiny("llama"), device="cpu").save_pretrained(tmp_path / "whole")
    assert 'pip install -U "sentence-transformers>=5.6"\n' in read(tmp_path / "whole")


def test_an_export_has_the_sections_of_every_card(hub, tiny, tmp_path, capsys, monkeypatch):
    model = PromptEOL(tiny("llama"), demonstrations=[("A cat.", "pet")], layer=-2, device="cpu")
    model.model_card_data.base_model, model.model_card_data.license = "makers/tiny", "Tiny: License"
    model.training_notes = "\n## Training\n\n- Data: mine\n"
    done = export(model, tmp_path / "served folder")
    push(done, "me/model")
    branch = pushed(hub, "me/model", "served")
    for card in (read(done.folder), branch):
        headings = [one for one in HEADINGS if one != "Scores"]
        headings.insert(3, "Compared with the model that it was made of")
        assert re.findall(r"^## (.*)$", card, re.MULTILINE) == headings
        assert "| A cat. | pet |" in card
        assert "Layer `-2`" in card
        assert model.fingerprint() in card
        assert "bibtex" in card
        assert card_errors(card) == []
        data = ModelCard(card).data.to_dict()
        assert (data["base_model"], data["base_model_relation"]) == ("makers/tiny", "finetune")
        assert (data["license"], data["license_name"]) == ("other", "tiny-license")
        assert str(tmp_path) not in card
    assert title(branch) == "me/model"
    assert 'SentenceTransformer("me/model", revision="served")' in branch
    assert "served folder" not in branch
    monkeypatch.chdir(tmp_path)
    [code] = re.findall(r"```python\n(.*?)```", read(done.folder), re.DOTALL)
    exec(code, {})
    assert "tensor([[" in capsys.readouterr().out


def test_the_export_of_an_odd_architecture_names_its_tokenizer(tiny, tmp_path, monkeypatch, capsys):
    model = PromptEOL(tiny("qwen2"), template="promptreps", device="cpu")
    export(model, tmp_path / "out", task="query")
    card = read(tmp_path / "out")
    assert "It embeds queries alone." in card
    assert 'AutoTokenizer.from_pretrained("out/tokenizer")' in card
    monkeypatch.chdir(tmp_path)
    [code] = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    scope = {}
    exec(code, scope)
    assert abs(scope["vectors"] - model.encode(scope["sentences"], task="query")).max() < 1e-4


def test_no_plain_use_of_what_is_for_llama_cpp(tiny, tmp_path):
    export(PromptEOL(tiny("llama"), device="cpu"), tmp_path / "out", server="llama.cpp")
    card = read(tmp_path / "out")
    assert "SentenceTransformer(" not in card
    assert "convert_hf_to_gguf.py out --outtype" in card
    assert json.loads((tmp_path / "out" / "export.json").read_text())["server"] == "llama.cpp"


def test_a_tokenizer_of_its_own_is_named_after_loading():
    lines = use(MANIFEST.template, CardFacts("out"), "x", tokenizer="out/tokenizer")
    assert 'SentenceTransformer("out")\nmodel[0].processor = AutoTokenizer.from_pretrained("out/tokenizer")' in lines
