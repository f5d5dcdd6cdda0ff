"""Whatever is done to a saved model's files: the vectors that stock gives, or one line of this package's errors."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from transformers import AutoModel

from prompteol import PromptEOL
from prompteol.errors import ArtifactError, ModelError, PromptEOLError

FILES = [
    "1_Pooling/config.json",
    "config.json",
    "config_sentence_transformers.json",
    "model.safetensors",
    "modules.json",
    "prompteol.json",
    "sentence_bert_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
]


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGE = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut": cut,
    "list": lambda path: path.write_text("[]"),
    "null": lambda path: path.write_text("null"),
    "string": lambda path: path.write_text('"text"'),
    "number": lambda path: path.write_text("7"),
    "no utf-8": lambda path: path.write_bytes(b"\xff\xfe\x00{"),
}


@pytest.fixture(scope="module")
def saved(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    PromptEOL(tiny("llama"), demonstrations="opt-2.7b", device="cpu").save_pretrained(folder, create_model_card=False)
    return folder


def without_a_weight(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def under_other_names(folder):
    weights = load_file(folder / "model.safetensors")
    renamed = {f"other.{name}": weight for name, weight in weights.items()}
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})


def with_more_layers(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": config["num_hidden_layers"] + 1}))


@pytest.mark.parametrize("damage", [without_a_weight, under_other_names, with_more_layers])
@pytest.mark.parametrize("kind", ["saved", "base"])
def test_weights_that_are_not_there_are_never_random(saved, tiny, tmp_path, kind, damage):
    folder = tmp_path / "model"
    shutil.copytree(saved if kind == "saved" else tiny("llama"), folder)
    if kind == "base":
        AutoModel.from_pretrained(folder).save_pretrained(folder)
    damage(folder)
    with pytest.raises(ModelError, match="lacks weights of its architecture"):
        PromptEOL(folder, device="cpu")


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_one_line(saved, tmp_path, file, damage):
    folder = shutil.copytree(saved, tmp_path / "copy")
    DAMAGE[damage](folder / file)
    said, ours = "", None
    try:
        ours = PromptEOL(folder, device="cpu").encode("A man sings.")
    except PromptEOLError as error:
        said = str(error)
    if ours is None:
        # A contradiction of two prompts shows both.
        assert "\n" not in said or file == "chat_template.jinja"
        assert str(folder) in said or file in said
    else:
        try:
            stock = SentenceTransformer(str(folder), device="cpu").encode("A man sings.")
        except ValueError:  # no pad token, which is not in a row's vector
            return
        assert np.abs(ours - stock).max() < 1e-5 * np.abs(stock).max()


def test_the_prompts_of_a_pair_go_with_it(tiny, tmp_path):
    PromptEOL(tiny("llama"), template="promptreps", prompts={"own": "My "}, device="cpu").save_pretrained(tmp_path)
    SentenceTransformer(str(tmp_path), device="cpu").save_pretrained(str(tmp_path / "stock"))
    for folder in (tmp_path, tmp_path / "stock"):
        single = PromptEOL(folder, template="prompteol", device="cpu")
        assert single.prompts == {"query": "", "document": "", "own": "My "}


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


EDITS = {
    "mean": ("1_Pooling/config.json", {"pooling_mode": "mean"}),
    "two": ("1_Pooling/config.json", {"pooling_mode": ["mean", "lasttoken"]}),
    "without prompt": ("1_Pooling/config.json", {"include_prompt": False}),
    "query length": ("sentence_bert_config.json", {"query_length": 20}),
    "processing": ("sentence_bert_config.json", {"processing_kwargs": {"text": {"max_length": 20}}}),
    "truncation": ("tokenizer_config.json", {"truncation_side": "left"}),
}


def test_the_truncation_of_tokenizer_json_counts_too(saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "copy")
    section = {"max_length": 30, "strategy": "LongestFirst", "stride": 0}
    edit(folder / "tokenizer.json", truncation={**section, "direction": "Left"})
    with pytest.raises(ArtifactError, match=r"truncation_side='left'.*direction: Right in tokenizer\.json"):
        PromptEOL(folder, device="cpu")
    text = "a long text " * 300
    padding = {"strategy": {"Fixed": 600}, "direction": "Left", "pad_to_multiple_of": None, "pad_id": 0}
    padding |= {"pad_type_id": 0, "pad_token": "<unk>"}
    edit(folder / "tokenizer.json", truncation={**section, "direction": "Right"}, padding=padding)
    edit(folder / "tokenizer_config.json", padding_side="left", model_max_length=64)
    ours, stock = PromptEOL(folder, device="cpu"), SentenceTransformer(str(folder), device="cpu")
    expected = stock.encode([text, "short"])
    assert ours.max_seq_length == stock.max_seq_length == 64
    assert np.abs(ours.encode([text, "short"]) - expected).max() < 1e-5 * np.abs(expected).max()


def test_a_base_that_cuts_on_the_left_is_saved_to_cut_on_the_right(tiny, tmp_path):
    base = shutil.copytree(tiny("llama"), tmp_path / "base")
    edit(base / "tokenizer_config.json", truncation_side="left", padding_side="left")
    model = PromptEOL(base, device="cpu")
    model.save_pretrained(tmp_path / "saved", create_model_card=False)
    expected = model.encode("a long text " * 300)
    for load in (PromptEOL, SentenceTransformer):
        found = load(str(tmp_path / "saved"), device="cpu").encode("a long text " * 300)
        assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("name", EDITS)
def test_settings_that_stock_obeys_and_we_do_not_are_a_contradiction(saved, tmp_path, name):
    file, changes = EDITS[name]
    folder = shutil.copytree(saved, tmp_path / "copy")
    edit(folder / file, **changes)
    with pytest.raises(ArtifactError, match=next(iter(changes))):
        PromptEOL(folder, device="cpu")
    assert PromptEOL(folder, template="prompteol", device="cpu").encode("a").shape == (32,)


def test_a_task_without_hidden_states(saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "copy")
    edit(folder / "sentence_bert_config.json", transformer_task="text-generation")
    for options in ({}, {"template": "prompteol"}):
        with pytest.raises(ModelError, match=r"transformer_task='text-generation' in sentence_bert_config\.json"):
            PromptEOL(folder, device="cpu", **options)


def test_settings_that_both_obey(saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "copy")
    edit(folder / "sentence_bert_config.json", max_seq_length=70)
    edit(folder / "config_sentence_transformers.json", prompts={"query": "find: ", "document": "", "own": "x "})
    text = "a long text " * 30
    ours, stock = PromptEOL(folder, device="cpu"), SentenceTransformer(str(folder), device="cpu")
    for name in ("query", "own", None):
        expected = stock.encode(text, prompt_name=name)
        assert np.abs(ours.encode(text, prompt_name=name) - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("template", ["prompteol", "promptreps"])
def test_own_prompts_are_kept(tiny, tmp_path, template):
    model = PromptEOL(tiny("llama"), template=template, device="cpu")
    tasks = model.prompts
    for number, texts in enumerate([("query", ""), ("", "document"), ("document", "query"), ("find: ", None)]):
        given = {task: text for task, text in zip(tasks, texts, strict=True) if text is not None}
        model.prompts = {**tasks, **given, "own": "query"}
        folder = tmp_path / str(number)
        model.save_pretrained(folder, create_model_card=False)
        again, stock = PromptEOL(folder, device="cpu"), SentenceTransformer(str(folder), device="cpu")
        stock.save_pretrained(str(folder / "again"), create_model_card=False)
        for other in (model, again, PromptEOL(folder / "again", device="cpu")):
            assert other.prompts == model.prompts
            for how in ("encode", "encode_query", "encode_document"):
                expected = getattr(stock, how)("A man sings.")
                assert np.abs(getattr(other, how)("A man sings.") - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("options", [{"demonstrations": "opt-2.7b", "layer": -2}, {"template": "promptreps"}])
def test_a_stock_resave_loses_nothing(tiny, architecture, tmp_path, options):
    model = PromptEOL(tiny(architecture), device="cpu", **options)
    model.save_pretrained(tmp_path / "ours", create_model_card=False)
    SentenceTransformer(str(tmp_path / "ours"), device="cpu").save_pretrained(str(tmp_path / "stock"))
    assert not (tmp_path / "stock" / "prompteol.json").exists()
    again = PromptEOL(tmp_path / "stock", device="cpu")
    assert (again.template, again.layer) == (model.template, model.layer)
    assert again.fingerprint() == model.fingerprint()
    jinja = tmp_path / "stock" / "chat_template.jinja"
    jinja.write_text(jinja.read_text() + "!")
    with pytest.raises(ModelError, match=r"its chat template is not PromptEOL's: which prompt and demonstrations"):
        PromptEOL(tmp_path / "stock", device="cpu")


def test_weights_follow_the_umask(tiny, tmp_path):
    code = (
        "import os, sys; os.umask(0o022); from prompteol import PromptEOL\n"
        f"PromptEOL({tiny('llama')!r}, device='cpu').save_pretrained({str(tmp_path / 'm')!r}, create_model_card=False)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "m").rglob("*") if file.is_file()} == {0o644}


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="permissions are POSIX's")
@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "prompteol.json", "."])
def test_what_may_not_be_read_is_said_to_be_so(saved, tmp_path, monkeypatch, file):
    folder = shutil.copytree(saved, tmp_path / "copy")
    may = os.access
    # A test run by root may read everything.
    monkeypatch.setattr(os, "access", lambda path, mode: (folder / file) != path and may(path, mode))
    with pytest.raises(ModelError, match=r"Permission denied.*chmod -R a\+rX"):
        PromptEOL(folder, device="cpu")
