"""A task of somebody else's is registered, evaluated by its name, found by the command line, and shown."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from prompteol import register_task
from prompteol.cli.app import app
from prompteol.errors import EvaluationError
from prompteol.evaluation import TASKS, StsData, StsSubset, Task, evaluate, read_results
from prompteol.evaluation.report import markdown

PAIRS = StsSubset("all", ["A cat.", "A dog runs.", "It rains."], ["A cat.", "A dog.", "Snow falls."], [5.0, 4.0, 0.0])


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    monkeypatch.setattr("prompteol.evaluation.tasks.TASKS", tasks := dict(TASKS))
    for module in ("runner", "report"):
        monkeypatch.setattr(f"prompteol.evaluation.{module}.TASKS", tasks)


def test_ten_lines_make_a_task(encoder):
    def load():
        return StsData([PAIRS])

    def first_dimension(data, embed):
        return float(np.asarray(embed(data.sentences()))[0, 0])

    register_task(Task("Pairs", "mine", load))
    register_task(Task("First", "mine", load, first_dimension, metric="value"))
    evaluation = evaluate(encoder, "mine", name="bag")
    assert evaluation.scores["Pairs"].metric == "spearman"
    assert evaluation.scores["First"].score == pytest.approx(float(encoder.encode(["A cat."])[0, 0]))
    assert "## mine" in (table := markdown([evaluation]))
    assert "| Pairs | First |" in table


def test_the_command_line_finds_the_tasks_of_installed_packages(tiny, tmp_path, monkeypatch):
    (tmp_path / "toy_task.py").write_text(
        "from prompteol import register_task\n"
        "from prompteol.evaluation import StsData, StsSubset, Task\n"
        "pairs = StsSubset('all', ['A cat.', 'It rains.'], ['A dog.', 'Snow falls.'], [4.0, 1.0])\n"
        "register_task(Task('Toy', 'toys', lambda: StsData([pairs])))\n"
    )
    (tmp_path / "toy-1.0.dist-info").mkdir()
    (tmp_path / "toy-1.0.dist-info" / "METADATA").write_text("Name: toy\nVersion: 1.0\n")
    (tmp_path / "toy-1.0.dist-info" / "entry_points.txt").write_text("[prompteol.tasks]\ntoy = toy_task\n")
    monkeypatch.syspath_prepend(tmp_path)
    results = tmp_path / "results.json"
    done = CliRunner().invoke(app, ["evaluate", "-m", tiny("llama"), "--tasks", "toy", "-o", str(results)])
    assert done.exit_code == 0, done.output
    assert list(json.loads(results.read_text())["evaluations"][0]["scores"]) == ["Toy"]
    # Where the task is not registered, its results are still shown.
    monkeypatch.undo()
    assert "## other tasks" in markdown(read_results([results]))


@pytest.mark.parametrize(
    ("task", "complaint"),
    [
        (Task("stsb", "mine", lambda: StsData([PAIRS])), "'stsb' already"),
        (Task("transfer", "mine", lambda: StsData([PAIRS])), "'transfer' already"),
        (Task("Mine", "sts", lambda: StsData([PAIRS])), "suite 'sts' is averaged as the paper does"),
        (Task("Mine", "mine"), "has no load"),
    ],
)
def test_what_cannot_be_a_task(task, complaint):
    with pytest.raises(EvaluationError, match=complaint):
        register_task(task)


def test_data_of_an_unknown_kind_needs_a_score(encoder):
    class Sentences:
        def sentences(self):
            return ["A cat."]

    register_task(Task("Bare", "mine", Sentences))
    with pytest.raises(EvaluationError, match=r"Bare: Sentences is neither StsData nor TransferData: give the task"):
        evaluate(encoder, "bare", name="bag")
