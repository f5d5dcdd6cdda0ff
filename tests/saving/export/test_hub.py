"""An export is pushed to a branch of its own, and the card of main says so; the Hub is a stand-in."""

import json
from fnmatch import fnmatch
from pathlib import Path
from unittest.mock import Mock

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

from prompteol import PromptEOL, export
from prompteol.errors import ExportError
from prompteol.saving.export import hub, push


class Hub:
    """Keep what is uploaded, by branch."""

    token = None

    def __init__(self):
        self.branches = {"main": {}}
        self.refusal = None

    def __call__(self, token=None):
        return self

    def create_repo(self, name, exist_ok):
        if self.refusal:
            raise self.refusal

    def create_branch(self, name, branch, exist_ok):
        # A new branch begins with the files of main.
        self.branches.setdefault(branch, dict(self.branches["main"]))

    def upload_folder(self, *, folder_path, repo_id, revision, commit_message, ignore_patterns, delete_patterns=""):
        for name in [name for name in self.branches[revision] if fnmatch(name, delete_patterns)]:
            del self.branches[revision][name]
        for file in Path(folder_path).rglob("*"):
            if file.is_file() and file.name not in ignore_patterns:
                self.branches[revision][str(file.relative_to(folder_path))] = file.read_bytes()

    def upload_file(self, *, path_or_fileobj, path_in_repo, repo_id, commit_message, revision="main"):
        self.branches[revision][path_in_repo] = path_or_fileobj

    def load_card(self, name, token=None):
        if "README.md" not in self.branches["main"]:
            raise EntryNotFoundError("no card")
        return ModelCard(self.branches["main"]["README.md"].decode())


@pytest.fixture
def there(monkeypatch):
    stand_in = Hub()
    monkeypatch.setattr(hub, "HfApi", stand_in)
    monkeypatch.setattr(hub.ModelCard, "load", stand_in.load_card)
    return stand_in


@pytest.fixture
def done(tiny, tmp_path):
    return export(PromptEOL(tiny("llama"), device="cpu"), tmp_path / "out")


def test_the_branch_holds_the_folder_and_its_card_the_name(there, done):
    assert push(done, "me/model") is False
    served = there.branches["served"]
    assert {"model.safetensors", "tokenizer.json", "modules.json", "1_Pooling/config.json", "README.md"} <= set(served)
    card = served["README.md"].decode()
    assert "vllm serve me/model --revision served" in card
    assert str(done.folder) not in card
    assert there.branches["main"] == {}


def test_the_card_of_main_names_the_branch_once(there, done):
    there.branches["main"]["README.md"] = b"---\nlicense: mit\n---\n\n# A model\n"
    assert push(done, "me/model") is True
    assert push(done, "me/model") is True
    card = there.branches["main"]["README.md"].decode()
    assert card.startswith("---\nlicense: mit\n---")
    assert card.count("## Servers") == 1
    assert "The branch `served`" in card


def test_nothing_of_main_is_left_on_the_branch(there, done):
    # A chat template would write the prompt twice, and an index of shards has the weights of main read.
    left = {"chat_template.jinja": b"{{ x }}", "model.safetensors.index.json": b"{}", "README.md": b"# A model\n"}
    there.branches["main"] |= left
    push(done, "me/model")
    assert there.branches["served"].keys() & left == {"README.md"}
    assert there.branches["main"].keys() == left.keys()


def test_no_path_of_this_machine_is_pushed(there, done):
    push(done, "me/model")
    served = there.branches["served"]
    assert not [name for name, content in served.items() if str(done.folder).encode() in content]
    assert json.loads(served["export.json"])["commands"]["vLLM"].startswith("vllm serve me/model --revision served ")
    assert done.record["commands"]["vLLM"].startswith(f"vllm serve {done.folder} ")


def test_the_rest_of_the_card_stays(there, done):
    there.branches["main"]["README.md"] = b"---\nlicense: mit\n---\n\n# A model\n"
    push(done, "me/model", "queries")
    there.branches["main"]["README.md"] += b"\n## Citation\n\nMe.\n"
    push(done, "me/model", "documents")
    push(done, "me/model", "documents")
    card = there.branches["main"]["README.md"].decode()
    assert card.endswith("## Citation\n\nMe.\n")
    assert [card.count(one) for one in ("## Servers", "branch `queries`", "branch `documents`")] == [1, 1, 1]
    there.branches["main"]["README.md"] = b"# A model\n\n## Servers\n\nMine.\n"
    push(done, "me/model")
    card = there.branches["main"]["README.md"].decode()
    assert "Mine." in card
    assert "branch `served`" in card


@pytest.mark.parametrize(
    "error",
    [
        OfflineModeIsEnabled("offline"),
        LocalTokenNotFoundError("no token"),
        HfHubHTTPError.__bases__[0]("no route to host"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_hub_that_is_not_reached_is_told_in_one_line(there, done, error):
    there.refusal = error
    with pytest.raises(ExportError, match=f"'me/model' was not pushed; .*{error}"):
        push(done, "me/model")


def test_what_a_client_must_convert_is_not_pushed(there, tiny, tmp_path):
    gguf = export(PromptEOL(tiny("llama"), device="cpu"), tmp_path / "gguf", server="llama.cpp")
    with pytest.raises(ExportError, match=r"llama\.cpp reads a GGUF file"):
        push(gguf, "me/model")
    assert there.branches == {"main": {}}


def test_refusals(there, done, tiny, tmp_path):
    with pytest.raises(ExportError, match="revision='main'"):
        push(done, "me/model", "main")
    qwen2 = export(PromptEOL(tiny("qwen2"), device="cpu"), tmp_path / "qwen2")
    with pytest.raises(ExportError, match="serve the local folder"):
        push(qwen2, "me/model")
    there.refusal = HfHubHTTPError("401 Client Error", response=Mock())
    with pytest.raises(ExportError, match="hf auth login"):
        push(done, "me/model")
