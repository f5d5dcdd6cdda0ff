"""``verify`` and ``check``: a table, JSON, an exit code for scripts, and a key that stays secret."""

import json

import pytest

from prompteol import PromptEOL
from serving_backend import Backend, running


@pytest.fixture(scope="module")
def folder(base, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("served") / "model")
    PromptEOL(base, device="cpu").save(path)
    return path


def test_verify_names_the_fault_and_exits_with_1(prompteol, folder):
    with running(Backend(folder, bakes_prompt=False)) as url:
        result = prompteol("verify", url, "-m", folder, "--json")
        exact = prompteol("verify", url, "-m", folder, "--input", "messages")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["exact"], found["findings"][0]["fault"]) == (1, False, "prompt lost")
    assert exact.exit_code == 0
    assert "chat messages" in exact.stdout


def test_a_server_that_gives_no_answer_is_exit_code_2(prompteol, folder):
    result = prompteol("verify", "http://127.0.0.1:9", "-m", folder)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "cannot be reached" in result.stderr


def test_the_key_comes_from_the_environment_and_is_not_printed(prompteol, folder, monkeypatch):
    served = Backend(folder)
    served.key = "sk-right"
    monkeypatch.setenv("OTHER_KEY", "sk-wrong")
    with running(served) as url:
        refused = prompteol("verify", url, "-m", folder, "--api-key", "OTHER_KEY")
        monkeypatch.setenv("PROMPTEOL_API_KEY", "sk-right")
        taken = prompteol("verify", url, "-m", folder, "--input", "plain")
    mistaken = prompteol("verify", url, "-m", folder, "--api-key", "sk-right")
    assert [refused.exit_code, taken.exit_code, mistaken.exit_code] == [2, 0, 2]
    assert "401" in refused.stderr
    assert not [one for one in (refused, taken, mistaken) if "sk-" in one.output]


def test_check_prints_what_was_seen(prompteol, folder):
    result = prompteol("check", folder)
    assert result.exit_code == 0
    assert "packed and reference forward" in result.stdout
    assert prompteol("check", folder, "-m", folder).exit_code == 2
