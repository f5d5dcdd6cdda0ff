"""An export is pushed to a branch of its own, and the card of main says so; the Hub is a stand-in."""

from pathlib import Path
from unittest.mock import Mock

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

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
        self.branches.setdefault(branch, {})

    def upload_folder(self, *, folder_path, repo_id, revision, commit_message, ignore_patterns):
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
    push(done, "me/model", "other")
    card = there.branches["main"]["README.md"].decode()
    assert (card.count("## Servers"), "The branch `other`" in card) == (1, True)


def test_refusals(there, done, tiny, tmp_path):
    with pytest.raises(ExportError, match="revision='main'"):
        push(done, "me/model", "main")
    qwen2 = export(PromptEOL(tiny("qwen2"), device="cpu"), tmp_path / "qwen2")
    with pytest.raises(ExportError, match="serve the local folder"):
        push(qwen2, "me/model")
    there.refusal = HfHubHTTPError("401 Client Error", response=Mock())
    with pytest.raises(ExportError, match="hf auth login"):
        push(done, "me/model")
