"""``prompteol tune``: a table into a pipe, the best model in a folder, and mistakes reported before anything runs."""

import csv
import io
import json

import pytest

from prompteol import PromptEOL
from prompteol.demonstrations import write_demonstrations
from prompteol.prompts import Demonstration
from prompteol.tuning import HEADER


@pytest.fixture
def dev(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [f"A man {n} sings.\tA dog {n} {'sings' if n % 3 else 'runs'}.\t{n % 5}\n" for n in range(70)]
    (tmp_path / "dev.tsv").write_text("sentence1\tsentence2\tscore\n" + "".join(rows))
    shots = [Demonstration(f"A {word} runs.", word.title()) for word in ("dog", "cat", "bird")]
    write_demonstrations(tmp_path / "set.jsonl", shots)
    return ["--pairs", "dev.tsv", "-d", "set.jsonl", "--device", "cpu", "--technique", "none"]


def test_tuning_and_its_model(prompteol, base, dev, tmp_path):
    options = [
        "-o",
        "best",
        "--plot-scores",
        "scores.png",
        "--plot-layers",
        "layers.svg",
        "-t",
        "prompteol",
        "-t",
        "prompt",
    ]
    done = prompteol("tune", "-m", base, *dev, *options, "--layer", "-1", "--layer", "0.5")
    assert done.exit_code == 0, done.output
    header, *rows = csv.reader(io.StringIO(done.stdout), delimiter="\t")
    assert tuple(header) == HEADER
    assert [row[0] for row in rows] == [str(rank) for rank in range(1, 9)]
    assert {row[4] for row in rows} == {"prompteol", "prompt"}
    for message in ("best: ", "gain over the template alone", "of the authors' procedure", "dev.tuning.jsonl"):
        assert message in done.stderr
    best = PromptEOL(tmp_path / "best", device="cpu")
    assert str(best.layer) == rows[0][2]
    shown = "; ".join(f"{one.sentence} => {one.word}" for one in best.template.demonstrations) or "-"
    assert shown == rows[0][5]
    assert (
        "70 pairs (dev.tsv)" in json.loads((tmp_path / "best" / "prompteol.json").read_text())["provenance"]["labels"]
    )
    assert (tmp_path / "scores.png").stat().st_size > 1000
    assert (tmp_path / "layers.svg").stat().st_size > 1000

    again = prompteol("tune", "-m", base, *dev, *options[6:], "--layer", "-1", "--layer", "0.5")
    assert again.stdout == done.stdout


def test_techniques_and_a_budget(prompteol, base, dev, tmp_path):
    shown = ["--technique", "all-but-the-top:components=1", "--technique", "prompt-ensemble", "--plot-front", "f.png"]
    (tmp_path / "texts.txt").write_text("A man sings.\nA dog runs.\nRain falls.\n")
    done = prompteol("tune", "-m", base, *dev[:-2], *shown, "--fit-texts", "texts.txt", "-o", "best")
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(io.StringIO(done.stdout), delimiter="\t"))
    assert {row["passes"] for row in rows} == {"1", "2"}
    assert any("all-but-the-top:components=1" in row["technique"] for row in rows)
    assert "not beaten at the same tokens and dimension:" in done.stderr
    assert (tmp_path / "f.png").stat().st_size > 1000
    fitted = "all-but-the-top" in rows[0]["technique"]
    assert ("fitted on 3 texts" in (tmp_path / "best" / "README.md").read_text()) is fitted
    done = prompteol("tune", "-m", base, *dev[:-2], *shown[:-2], "--budget", "1.5", "--results", "cheap.jsonl")
    assert {row["passes"] for row in csv.DictReader(io.StringIO(done.stdout), delimiter="\t")} == {"1"}


def test_the_live_table(prompteol, base, dev, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    done = prompteol("tune", "-m", base, *dev, "--layer", "-1")
    assert done.exit_code == 0, done.output
    assert "candidate 3 of 3" in done.stderr
    assert "A bird runs. => Bird" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layer", "deep"], "--layer 'deep'"),
        (["-t", "nonsense"], "no preset"),
        (["-o", "missing/best"], "does not exist"),
        (["--results", "missing/r.jsonl"], "does not exist"),
        (["--plot-scores", "scores.doc"], "ends in"),
        (["-d", "none.jsonl"], "no such file"),
        (["--technique", "nonsense"], "is none of"),
        (["--fit-texts", "none.txt"], "no such file"),
        (["-c", "sentence1"], "1 columns named"),
    ],
)
def test_a_mistake_is_said_in_one_line_before_the_model_loads(prompteol, base, dev, monkeypatch, options, message):
    monkeypatch.setattr("prompteol.cli.model_options.ModelOptions.load", lambda *_: pytest.fail("a model was loaded"))
    done = prompteol("tune", "-m", base, *dev, *options)
    assert done.exit_code == 2, done.output
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
