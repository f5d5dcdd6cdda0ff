"""A model is pushed by the real Hub client to a local server of its protocol: whole, or not at all."""

import os
from pathlib import Path

import numpy as np
import pytest
from hf_xet import hash_files
from huggingface_hub import HfApi, constants
from sentence_transformers import SentenceTransformer

from hub_server import READ_TOKEN
from prompteol import PromptEOL
from prompteol.errors import HubError

PARTS = {"model.safetensors", "tokenizer.json", "chat_template.jinja", "prompteol.json", "1_Pooling/config.json"}


@pytest.fixture
def model(tiny):
    return PromptEOL(tiny("llama"), demonstrations="opt-2.7b", device="cpu")


@pytest.fixture
def impatient(monkeypatch):
    """Wait for nothing between two tries of the client."""
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)


def same(one, other):
    return np.allclose(one.encode("hello"), other.encode("hello"), atol=1e-5)


def test_pushed_once_it_loads_by_name(model, hub):
    url = model.push_to_hub("me/tiny", private=True)
    repository = hub.repositories["me/tiny"]
    assert url == f"{hub.url}/me/tiny/commit/{repository.branches['main'][-1]}"
    assert repository.private
    assert len(repository.messages) == 1
    assert repository.files().keys() >= PARTS | {"README.md"}
    assert b'SentenceTransformer("me/tiny")' in repository.files()["README.md"]
    assert same(SentenceTransformer("me/tiny", device="cpu"), model)
    assert same(PromptEOL("me/tiny", device="cpu"), model)


def test_the_token_goes_to_the_hub_alone(model, hub):
    model.push_to_hub("me/tiny")
    PromptEOL("me/tiny", device="cpu")
    stored = [one for one in hub.requests if one.host == "storage"]
    assert {one.method for one in stored} == {"PUT", "GET"}
    assert [one.authorization for one in stored] == [None] * len(stored)
    assert {one.authorization for one in hub.requests if one.host == "hub"} == {f"Bearer {os.environ['HF_TOKEN']}"}


def test_without_an_owner_the_name_is_the_users(model, hub):
    model.push_to_hub("tiny")
    assert list(hub.repositories) == ["me/tiny"]
    assert model.model_card_data.model_id == "me/tiny"


def test_through_xet(model, hub, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    model.save_pretrained(tmp_path / "saved")
    weights = tmp_path / "saved" / "model.safetensors"
    hub.reset(xet=tmp_path / "store")
    hub.offer_by_xet(weights.read_bytes(), hash_files([str(weights)])[0].hash)
    model.push_to_hub("me/tiny", local_model_path=str(tmp_path / "saved"))
    assert same(SentenceTransformer("me/tiny", device="cpu"), model)
    assert [one.path for one in hub.requests if one.host == "storage"] == []
    assert len(hub.asked("xet-write-token")) == 1
    assert hub.asked("xet-read-token")


def test_a_server_without_xet_is_named_with_the_cure(model, hub, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    with pytest.raises(HubError, match="Git LFS alone, so set HF_HUB_DISABLE_XET=1"):
        model.push_to_hub("me/tiny")
    assert hub.repositories["me/tiny"].files() == {}


def test_what_an_earlier_model_left_goes(model, hub):
    model.push_to_hub("me/tiny")
    theirs = {
        "adapter_config.json": b"{}",
        "2_Dense/config.json": b"{}",
        "picture.txt": b"mine",
        "README.md": b"# Mine",
    }
    hub.repositories["me/tiny"].files().update(theirs)
    with pytest.raises(HubError, match="holds a model on its branch main: add --force \\(exist_ok=True\\)"):
        model.push_to_hub("me/tiny")
    model.push_to_hub("me/tiny", exist_ok=True)
    files = hub.repositories["me/tiny"].files()
    assert files.keys() & theirs == {"picture.txt", "README.md"}
    assert files["README.md"] == b"# Mine"
    model.push_to_hub("me/tiny", exist_ok=True, replace_model_card=True)
    assert files["README.md"] != hub.repositories["me/tiny"].files()["README.md"]


def test_two_at_once_do_not_mix(model, hub, monkeypatch):
    model.push_to_hub("me/tiny")
    repository = hub.repositories["me/tiny"]
    theirs = {"adapter_config.json": b"{}"}
    listing = HfApi.list_repo_files

    def somebody_pushes_meanwhile(*args, **kwargs):
        there = listing(*args, **kwargs)
        repository.commit("main", theirs)
        return there

    monkeypatch.setattr(HfApi, "list_repo_files", somebody_pushes_meanwhile)
    with pytest.raises(HubError, match=r"was not pushed; somebody else pushed meanwhile, so look .* and try again"):
        model.push_to_hub("me/tiny", exist_ok=True)
    assert repository.files() == theirs


def test_after_a_first_push_that_failed_the_same_line_works(model, hub):
    hub.fail("POST .*/commit/", status=403)
    with pytest.raises(HubError, match="take one with write access"):
        model.push_to_hub("me/tiny", private=True)
    hub.faults.clear()
    model.push_to_hub("me/tiny", private=True)
    assert hub.repositories["me/tiny"].files().keys() >= PARTS
    assert len(hub.repositories) == 1


@pytest.mark.parametrize("revision", [None, "v2"])
def test_a_commit_whose_answer_is_lost_is_a_push(model, hub, revision):
    model.push_to_hub("me/tiny")
    repository = hub.repositories["me/tiny"]
    repository.files().update({"adapter_config.json": b"{}"})
    hub.fail("POST .*/commit/", cut_after=0, times=1)
    url = model.push_to_hub("me/tiny", revision=revision, exist_ok=True)
    branch = revision or "main"
    assert url == f"{hub.url}/me/tiny/commit/{repository.branches[branch][-1]}"
    assert repository.files(branch).keys() >= PARTS
    assert "adapter_config.json" not in repository.files(branch)
    assert len(repository.messages) == 2


def test_a_commit_of_somebody_else_is_no_push(model, hub, monkeypatch):
    model.push_to_hub("me/tiny")
    hub.fail("POST .*/commit/", times=1)
    head = HfApi.model_info

    def after_somebody_pushed(*args, **kwargs):
        if not hub.faults[0].times:
            hub.repositories["me/tiny"].commit("main", {"README.md": b""})
        return head(*args, **kwargs)

    monkeypatch.setattr(HfApi, "model_info", after_somebody_pushed)
    with pytest.raises(HubError, match=r"was not pushed; .* try again"):
        model.push_to_hub("me/tiny", exist_ok=True)


def test_where_nobody_knows_whether_it_was_pushed(model, hub, monkeypatch):
    model.push_to_hub("me/tiny")
    hub.fail("POST .*/commit/", cut_after=0)
    commit = HfApi.create_commit

    def and_the_hub_is_gone(*args, **kwargs):
        hub.fail("GET ", status=503)
        return commit(*args, **kwargs)

    monkeypatch.setattr(HfApi, "create_commit", and_the_hub_is_gone)
    with pytest.raises(HubError, match=r"may be pushed or not: .* Look at http.*/me/tiny, or push again with --force"):
        model.push_to_hub("me/tiny", exist_ok=True)


def test_a_branch(model, hub):
    model.push_to_hub("me/tiny", revision="v1")
    repository = hub.repositories["me/tiny"]
    assert repository.files("main") == {}
    assert repository.files("v1").keys() >= PARTS
    assert same(PromptEOL("me/tiny", revision="v1", device="cpu"), model)


def test_what_is_to_be_private_is_not_shown(model, hub):
    model.push_to_hub("me/tiny", revision="other")
    with pytest.raises(HubError, match="exists and is public"):
        model.push_to_hub("me/tiny", private=True, exist_ok=True)
    assert hub.repositories["me/tiny"].files("main") == {}


@pytest.mark.parametrize(
    ("fault", "how", "cure"),
    [
        ("PUT /objects", {"status": 403}, "take one with write access"),
        ("PUT /objects", {}, "try again, and what has arrived is not sent twice"),
        ("POST .*objects/batch", {"status": 400}, "mend what is refused: Bad request"),
        ("POST .*/commit/", {}, "does not answer: try again"),
        ("POST .*/commit/", {"status": 403}, "take one with write access"),
        ("POST .*/branch/", {"status": 403}, "take one with write access"),
        ("POST .*/preupload/", {"status": 500}, r"does not answer \(500\): try again"),
    ],
    ids=str,
)
def test_a_push_that_fails_leaves_the_branch_as_it_was(model, hub, fault, how, cure, impatient, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    model.push_to_hub("me/tiny")
    repository, before = hub.repositories["me/tiny"], hub.repositories["me/tiny"].files()
    hub.objects.clear()
    hub.fail(fault, **how)
    with pytest.raises(HubError, match=cure) as raised:
        model.push_to_hub("me/tiny", revision="v2", exist_ok=True)
    assert "\n" not in str(raised.value)
    assert os.environ["HF_TOKEN"] not in str(raised.value)
    assert list(repository.branches) == ["main"]
    assert repository.files() == before
    assert list((tmp_path / "temporary").iterdir()) == []
    hub.faults.clear()
    model.push_to_hub("me/tiny", revision="v2", exist_ok=True)
    assert repository.files("v2").keys() >= PARTS


@pytest.mark.parametrize(
    ("token", "cure"),
    [(None, "log in with hf auth login, or set HF_TOKEN"), ("hf_wrong", "log in"), (READ_TOKEN, "with write access")],
)
def test_tokens_that_may_not(model, hub, monkeypatch, token, cure):
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match=cure):
        model.push_to_hub("me/tiny", token=token)
    assert hub.repositories == {}


def test_a_model_that_cannot_be_saved_makes_no_repository(model, hub, monkeypatch):
    def broken(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(PromptEOL, "save", broken)
    with pytest.raises(OSError, match="disk full"):
        model.push_to_hub("me/tiny")
    assert hub.repositories == {}
    assert model.model_card_data.model_id is None


def test_a_card_that_the_hub_refuses(model, hub, tmp_path):
    model.save_pretrained(tmp_path / "saved")
    (tmp_path / "saved" / "README.md").write_text("---\nlicense: [no, such]\n---\n")
    with pytest.raises(HubError, match=r"mend what is refused: Invalid metadata in README\.md"):
        model.push_to_hub("me/tiny", local_model_path=str(tmp_path / "saved"))
    assert hub.repositories["me/tiny"].files() == {}


def test_offline_and_a_name_that_is_none(model, hub, monkeypatch):
    with pytest.raises(HubError, match="give a name such as 'me/my-model'"):
        model.push_to_hub("a/b/c")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="unset HF_HUB_OFFLINE"):
        model.push_to_hub("me/tiny")


def test_a_pull_request_is_one(model, hub):
    model.push_to_hub("me/tiny")
    assert "/discussions/" in model.push_to_hub("me/tiny", create_pr=True)
    assert len(hub.repositories["me/tiny"].branches["main"]) == 2


def test_the_folder_of_a_push_is_untouched(model, hub, tmp_path):
    model.save_pretrained(tmp_path / "saved")
    before = {path: path.read_bytes() for path in Path(tmp_path / "saved").rglob("*") if path.is_file()}
    hub.fail("POST .*/commit/", status=403)
    with pytest.raises(HubError):
        model.push_to_hub("me/tiny", local_model_path=str(tmp_path / "saved"))
    assert {path: path.read_bytes() for path in Path(tmp_path / "saved").rglob("*") if path.is_file()} == before
