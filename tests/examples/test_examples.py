"""Each example runs as it is, offline, with the default model, and finds what a reader would."""

import re
import runpy
import sys
from pathlib import Path

import pytest

from page_blocks import skip_unless_installed

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))

pytestmark = [
    pytest.mark.filterwarnings("ignore:Tensorflow not installed:ImportWarning"),  # BERTopic imports umap
    pytest.mark.filterwarnings("ignore:Importing from 'sentence_transformers.models':DeprecationWarning"),  # BERTopic
]


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Run a script as a reader does, in an empty folder, and return what it prints."""
    monkeypatch.chdir(tmp_path)

    def script(name: str, *arguments: str) -> str:
        path = EXAMPLES / name
        skip_unless_installed(path.read_text(encoding="utf-8"))
        monkeypatch.setattr(sys, "argv", [str(path), *arguments])
        capsys.readouterr()
        runpy.run_path(str(path), run_name="__main__")
        return capsys.readouterr().out

    return script


def test_search_files(run):
    assert "garden.txt:8" in run("search_files.py")
    assert "bicycle.txt:12" in run("search_files.py", "keep the rain away while cycling")


def test_find_duplicates(run):
    found = run("find_duplicates.py")
    groups = [set(map(int, re.findall(r"line (\d+):", group))) for group in found.split("these say the same:")[1:]]
    same = [{1, 2}, {3, 8}, {4, 6}, {5, 10}]
    assert sum(any(pair <= group for group in groups) for pair in same) >= 2
    assert re.search(r"12 lines, \d+ without repetitions", found)


def test_classify_messages(run):
    labels = [line.split()[0] for line in run("classify_messages.py").splitlines()]
    right = ["delivery", "payment", "account", "delivery", "payment", "account"]
    assert sum(map(str.__eq__, labels, right)) >= 4


def test_answer_with_sources(run):
    found = run("answer_with_sources.py").splitlines()
    assert found[0] == "The moon makes the tides of the sea. [1]"
    assert "[1] night_sky.txt:1" in found[1]
    assert "Bread dough rises twice as fast" in run("answer_with_sources.py", "how can bread rise faster")


def test_cluster_topics(run):
    found = run("cluster_topics.py")
    assert [int(size) for size in re.findall(r"\((\d+) texts\)", found)]
    assert len(re.findall(r"^topic \d", found, re.MULTILINE)) == 5
    assert "a new text belongs to topic" in found


def test_finetune_and_push(run, hub):
    found = run("finetune_and_push.py", "me/tuned")
    assert f"{hub.url}/me/tuned/commit/" in found
    repository = hub.repositories["me/tuned"]
    assert repository.private
    assert "model.safetensors" in repository.files()
    assert b"## Training" in repository.files()["README.md"]
    with pytest.raises(SystemExit, match="give the name of a repository"):
        run("finetune_and_push.py")


def test_the_list_has_every_script_and_each_is_short():
    listed = re.findall(r"^\| \[`(\w+\.py)`\]\((\w+\.py)\) \|", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == [(script.name, script.name) for script in SCRIPTS]
    for script in SCRIPTS:
        assert 20 <= len(script.read_text(encoding="utf-8").splitlines()) <= 60
