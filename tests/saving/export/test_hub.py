"""An export is pushed to a branch of its own, and the card of main says so."""

import json

import pytest

from hub_server import Repository
from prompteol import PromptEOL, export
from prompteol.errors import ExportError, HubError
from prompteol.saving.export import push


@pytest.fixture
def done(tiny, tmp_path):
    return export(PromptEOL(tiny("llama"), device="cpu"), tmp_path / "out")


@pytest.fixture
def there(hub):
    """The repository that is pushed to, with nothing in it."""
    hub.repositories["me/model"] = Repository()
    return hub.repositories["me/model"]


def test_the_branch_holds_the_folder_and_its_card_the_name(hub, done):
    assert push(done, "me/model", private=True) is False
    repository = hub.repositories["me/model"]
    served = repository.files("served")
    assert {"model.safetensors", "tokenizer.json", "modules.json", "1_Pooling/config.json", "README.md"} <= set(served)
    card = served["README.md"].decode()
    assert "vllm serve me/model --revision served" in card
    assert str(done.folder) not in card
    assert repository.files() == {}
    assert repository.private
    assert repository.messages == ["Export for servers"]


def test_the_card_of_main_names_the_branch_once(there, done):
    there.commit("main", {"README.md": b"---\nlicense: mit\n---\n\n# A model\n"})
    assert push(done, "me/model") is True
    assert push(done, "me/model") is True
    card = there.files()["README.md"].decode()
    assert card.startswith("---\nlicense: mit\n---")
    assert card.count("## Servers") == 1
    assert "The branch `served`" in card


def test_nothing_of_main_is_left_on_the_branch(there, done):
    # A chat template would write the prompt twice, and an index of shards has the weights of main read.
    left = {"chat_template.jinja": b"{{ x }}", "model.safetensors.index.json": b"{}", "README.md": b"# A model\n"}
    there.commit("main", left)
    push(done, "me/model")
    assert there.files("served").keys() & left == {"README.md"}
    assert there.files().keys() == left.keys()


def test_no_path_of_this_machine_is_pushed(there, done):
    push(done, "me/model")
    served = there.files("served")
    assert not [name for name, content in served.items() if str(done.folder).encode() in content]
    assert json.loads(served["export.json"])["commands"]["vLLM"].startswith("vllm serve me/model --revision served ")
    assert done.record["commands"]["vLLM"].startswith(f"vllm serve {done.folder} ")


def test_the_rest_of_the_card_stays(there, done):
    there.commit("main", {"README.md": b"---\nlicense: mit\n---\n\n# A model\n"})
    push(done, "me/model", "queries")
    there.commit("main", {"README.md": there.files()["README.md"] + b"\n## Citation\n\nMe.\n"})
    push(done, "me/model", "documents")
    push(done, "me/model", "documents")
    card = there.files()["README.md"].decode()
    assert card.endswith("## Citation\n\nMe.\n")
    assert [card.count(one) for one in ("## Servers", "branch `queries`", "branch `documents`")] == [1, 1, 1]
    there.commit("main", {"README.md": b"# A model\n\n## Servers\n\nMine.\n"})
    push(done, "me/model")
    card = there.files()["README.md"].decode()
    assert "Mine." in card
    assert "branch `served`" in card


def test_a_push_that_fails_leaves_no_branch(hub, there, done):
    hub.fail("POST .*/commit/", status=403)
    with pytest.raises(HubError, match="'me/model' was not pushed; the token may not write there"):
        push(done, "me/model")
    assert list(there.branches) == ["main"]


def test_a_card_that_cannot_be_changed_is_said_to_be_what_failed(hub, there, done):
    there.commit("main", {"README.md": b"# A model\n"})
    hub.fail("POST .*/commit/main", status=403)
    with pytest.raises(HubError, match="was pushed, but its card does not name the branch served; the token"):
        push(done, "me/model")
    assert "model.safetensors" in there.files("served")


def test_what_a_client_must_convert_is_not_pushed(hub, tiny, tmp_path):
    gguf = export(PromptEOL(tiny("llama"), device="cpu"), tmp_path / "gguf", server="llama.cpp")
    with pytest.raises(ExportError, match=r"llama\.cpp reads a GGUF file"):
        push(gguf, "me/model")
    assert hub.requests == []


def test_refusals(hub, done, tiny, tmp_path, monkeypatch):
    with pytest.raises(ExportError, match="revision='main'"):
        push(done, "me/model", "main")
    qwen2 = export(PromptEOL(tiny("qwen2"), device="cpu"), tmp_path / "qwen2")
    with pytest.raises(ExportError, match="serve the local folder"):
        push(qwen2, "me/model")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match="hf auth login"):
        push(done, "me/model")
    assert hub.repositories == {}
