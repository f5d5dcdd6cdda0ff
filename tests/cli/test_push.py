"""``create``, ``merge`` and ``export`` push what they make; a push that fails is one line, and exit code 2."""

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from hub_server import READ_TOKEN
from prompteol import PromptEOL


@pytest.fixture
def adapter(tiny, tmp_path):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    config = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(tiny("llama")), config).save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def test_create_pushes_and_says_how_it_is_loaded(prompteol, base, hub, tmp_path):
    done = prompteol("create", "-m", base, "-d", "A cat.=>pet", "-o", tmp_path / "out", "--push", "tiny", "--private")
    assert done.exit_code == 0, done.stderr
    assert 'me/tiny: load it with SentenceTransformer("me/tiny")' in done.stderr
    repository = hub.repositories["me/tiny"]
    assert repository.private
    assert len(repository.messages) == 1
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file()}.items() <= (
        repository.files().items()
    )
    assert b'SentenceTransformer("me/tiny")' in repository.files()["README.md"]
    pushed = SentenceTransformer("me/tiny", device="cpu").encode("hello")
    assert np.allclose(pushed, PromptEOL(tmp_path / "out", device="cpu").encode("hello"), atol=1e-5)


def test_what_is_created_here_is_called_by_its_folder(prompteol, base, tmp_path):
    assert prompteol("create", "-m", base, "-o", tmp_path / "mine").exit_code == 0
    assert 'SentenceTransformer("mine")' in (tmp_path / "mine" / "README.md").read_text()


def test_a_model_on_the_branch_wants_force(prompteol, base, hub):
    assert prompteol("create", "-m", base, "--push", "me/tiny").exit_code == 0
    again = prompteol("create", "-m", base, "-t", "prompt", "--push", "me/tiny")
    assert again.exit_code == 2
    assert "'me/tiny' holds a model on its branch main: add --force" in again.stderr
    assert prompteol("create", "-m", base, "-t", "prompt", "--push", "me/tiny", "--push-revision", "v2").exit_code == 0
    assert prompteol("create", "-m", base, "-t", "prompt", "--push", "me/tiny", "--force").exit_code == 0
    files = hub.repositories["me/tiny"].files
    assert files("main")["prompteol.json"] == files("v2")["prompteol.json"]
    assert b"means in one word" not in files("main")["README.md"]


def test_merge_pushes(prompteol, adapter, hub):
    done = prompteol("merge", "-m", adapter, "--push", "me/merged")
    assert done.exit_code == 0, done.stderr
    files = hub.repositories["me/merged"].files()
    assert "model.safetensors" in files
    assert "adapter_config.json" not in files
    merged = PromptEOL("me/merged", device="cpu").encode("hello")
    assert np.allclose(merged, PromptEOL(adapter, device="cpu").encode("hello"), atol=1e-4)


def test_export_pushes_to_its_branch_and_again(prompteol, base, hub):
    assert prompteol("create", "-m", base, "--push", "me/tiny").exit_code == 0
    for _ in range(2):
        done = prompteol("export", "-m", base, "--push", "me/tiny")
        assert done.exit_code == 0, done.stderr
    assert "the branch served holds it, as the card of main says" in done.stderr
    refused = prompteol("export", "-m", base, "--push", "me/tiny", "--push-revision", "main")
    assert (refused.exit_code, "revision='main'" in refused.stderr) == (2, True)


@pytest.mark.parametrize("fault", ["PUT /objects", "POST .*/commit/"])
def test_a_push_that_fails_is_one_line_and_keeps_the_folder(prompteol, base, hub, tmp_path, fault):
    hub.fail(fault, status=403)
    done = prompteol("create", "-m", base, "-o", tmp_path / "out", "--push", "me/tiny")
    assert done.exit_code == 2
    error = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(error) == 1
    assert "the token may not write there" in error[0]
    assert error[0].endswith(f"; the model lies in '{tmp_path / 'out'}'")
    assert hub.repositories["me/tiny"].files() == {}
    assert PromptEOL(tmp_path / "out", device="cpu").encode("hello").shape == (32,)


@pytest.mark.parametrize(("token", "cure"), [("", "hf auth login"), (READ_TOKEN, "take one with write access")])
def test_a_token_that_may_not(prompteol, base, hub, monkeypatch, token, cure):
    monkeypatch.setenv("HF_TOKEN", token)
    done = prompteol("create", "-m", base, "--push", "me/tiny")
    assert (done.exit_code, cure in done.stderr) == (2, True)
    assert hub.repositories == {}


def test_nowhere_to_write(prompteol, base):
    assert "give -o FOLDER, or --push NAME" in prompteol("create", "-m", base).stderr
    assert "--private is for a repository" in prompteol("create", "-m", base, "-o", "x", "--private").stderr
