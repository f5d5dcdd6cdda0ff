"""For llama.cpp the folder has the model's own tokenizer without a chat template, and the client sends token ids."""

import json

import pytest
from transformers import AutoTokenizer

from prompteol import PromptEOL, export
from prompteol.errors import SettingError


def test_the_client_s_lines_give_our_rows(tiny, tmp_path):
    model = PromptEOL(tiny("llama"), device="cpu")
    done = export(model, tmp_path / "out", server="llama.cpp")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer.chat_template is None
    assert not (tmp_path / "out" / "chat_template.jinja").exists()
    assert model.tokenizer.chat_template is not None
    sent = []
    scope = {"model": model, "text": "A man sings", "requests": Requests(sent)}
    exec(done.commands["client"], scope)
    prompt = model.module.prompter.render("A man sings")
    assert sent == [{"input": tokenizer(prompt, add_special_tokens=False)["input_ids"]}]
    assert scope["vector"] == [1.0]
    assert done.commands["client"].count("\n") == 2
    assert done.commands["client"] in (tmp_path / "out" / "README.md").read_text()
    assert {one.loaded for one in done.comparisons} == {"token ids"}
    assert all(one.identical == 1 for one in done.comparisons)


def test_the_converter_reads_the_tokenizer_with_transformers_4(tiny, tmp_path):
    model = PromptEOL(tiny("llama"), device="cpu")
    model.tokenizer.add_special_tokens({"additional_special_tokens": ["<extra>"]})
    model.module.transformer.model.resize_token_embeddings(len(model.tokenizer))
    export(model, tmp_path / "out", server="llama.cpp")
    written = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    # There it is no class, and those tokens have another name.
    assert written["tokenizer_class"] != "TokenizersBackend"
    assert written.get("extra_special_tokens") is None
    assert written["additional_special_tokens"] == ["<extra>"]
    assert AutoTokenizer.from_pretrained(tmp_path / "out")("<extra>")["input_ids"][-1] == len(model.tokenizer) - 1


class Requests:
    """Stand in for the package ``requests``."""

    def __init__(self, sent):
        self.sent = sent

    def post(self, url, json):
        self.sent.append(json)
        return self

    def json(self):
        return {"data": [{"embedding": [1.0]}]}


def test_another_server_is_refused(tiny, tmp_path):
    with pytest.raises(SettingError, match="server='ollama'"):
        export(PromptEOL(tiny("llama"), device="cpu"), tmp_path / "out", server="ollama")


def test_a_name_in_place_of_a_model_is_refused(tmp_path):
    with pytest.raises(SettingError, match="model='a-name' is no PromptEOL model"):
        export("a-name", tmp_path / "out")
