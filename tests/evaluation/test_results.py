"""Results survive their file, those of other releases too, and stand beside the paper's in tables."""

import hashlib
import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from prompteol.errors import EvaluationError
from prompteol.evaluation import Evaluation, TaskScore, read_results, results_json
from prompteol.evaluation.report import labels, markdown, tables
from prompteol.evaluation.results import ModelDescription

STS = {"STS12": 62.0, "STS13": 73.2, "STS14": 61.9, "STS15": 71.1, "STS16": 72.0, "STS-B": 68.0, "SICK-R": 64.1}
MODEL = ModelDescription(
    "facebook/opt-125m",
    'This sentence : "{text}" means in one word:"',
    "paper",
    (("A man is smoking.", "Smoking"),),
    -1,
    "float32",
    768,
    125_239_296,
    "ab" * 32,
)


def evaluation(model=MODEL, scores=STS, **options):
    return Evaluation(
        model,
        {n: TaskScore(n, "spearman", s, 10, {"subsets": {n: s}}, {"file": "0" * 64}) for n, s in scores.items()},
        **options,
    )


def show(*evaluations):
    console = Console(file=io.StringIO(), width=160)
    console.print(tables(evaluations))
    return console.file.getvalue()


def test_what_is_written_is_read(tmp_path):
    given = [evaluation(missing={"MR": "not there"}, versions={"torch": "2"}, created="2026-01-02", seconds=1.5)]
    file = tmp_path / "result.json"
    file.write_text(results_json(given), encoding="utf-8")
    assert read_results([file, file]) == given * 2


def test_a_file_of_format_1_stays_readable(tmp_path):
    """As the first release wrote it, less what was optional, plus what a later one may add."""
    file = tmp_path / "old.json"
    score = {"task": "MR", "metric": "accuracy", "score": 81.5, "examples": 10662}
    model = {"name": "old", "template": None, "demonstrations": [["a", "b"]], "color": "blue"}
    file.write_text(json.dumps({"format": 1, "evaluations": [{"model": model, "scores": {"MR": score}}]}))
    (read,) = read_results([file])
    assert (read.scores["MR"].score, read.model.demonstrations) == (81.5, (("a", "b"),))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ('{"format": 2, "evaluations": []}', "has format 2; this release reads up to 1"),
        ("not json", "is no result file"),
        ("[1, 2]", "is no result file"),
        ('{"evaluations": []}', "is no result file"),
    ],
)
def test_other_files_are_refused(tmp_path, content, complaint):
    file = tmp_path / "other.json"
    file.write_text(content)
    with pytest.raises(EvaluationError, match=complaint):
        read_results([file])


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(EvaluationError, match=r"gone\.json cannot be read"):
        read_results([tmp_path / "gone.json"])


def test_the_paper_stands_beside_ours_with_the_difference():
    lines = show(evaluation()).splitlines()
    ours, paper, difference = (
        next(line for line in lines if start in line)
        for start in ("facebook/opt-125m", "paper, in-context", "difference")
    )
    assert ours.split("│")[2:4] == [" 62.00 ", " 73.20 "]
    assert paper.split("│")[2:4] == [" 62.22 ", " 73.10 "]
    assert difference.split("│")[2:4] == [" -0.22 ", " +0.10 "]
    assert ours.split("│")[-2].strip() == "67.47"
    assert (paper.split("│")[-2].strip(), difference.split("│")[-2].strip()) == ("67.46", "+0.01")
    assert any("authors' repository" in line for line in lines)


def test_another_model_stands_alone():
    assert "paper" not in show(evaluation(ModelDescription("mine")))


def test_missing_scores_are_a_dash_and_give_no_average():
    text = show(evaluation(scores={"STS12": 60.0}, missing={"STS13": "STS13-en-test is not there"}))
    row = next(line for line in text.splitlines() if "facebook/opt-125m" in line)
    assert [cell.strip() for cell in row.split("│")[2:-1]] == ["60.00", "–", "–"]
    assert "missing: STS13 (STS13-en-test is not there)" in text


def test_markdown_is_the_same_table():
    text = markdown([evaluation(), evaluation(ModelDescription("a|b"))])
    assert "| facebook/opt-125m | 62.00 | 73.20 | 61.90 | 71.10 | 72.00 | 68.00 | 64.10 | 67.47 |" in text
    assert "|   paper, in-context | 62.22 |" in text
    assert "| a\\|b | 62.00 |" in text
    assert "demonstration 'A man is smoking.' => 'Smoking', layer -1, float32, 768 dimensions" in text


def test_what_is_needed_to_repeat_a_result_stands_below_it():
    given = [evaluation(versions={"python": "3.11.7", "torch": "2.13.0"}), evaluation(ModelDescription("mine"))]
    digest = hashlib.sha256(b"0" * 64).hexdigest()
    text, shown = markdown(given), show(*given)
    assert f"768 dimensions, fingerprint {'ab' * 32}\n" in text
    assert f"fingerprint {'ab' * 6}" in shown
    assert "ab" * 7 not in shown
    assert f"- data, SHA-256: STS12 {digest}, STS13 {digest}, " in text
    assert f"data, SHA-256: STS12 {digest[:12]}, STS13 {digest[:12]}, " in shown
    for report in (text, shown):
        assert "versions of facebook/opt-125m: python 3.11.7, torch 2.13.0" in report
        assert "versions of mine" not in report


def test_what_all_results_share_is_said_once_and_what_differs_by_model():
    mine, yours = ModelDescription("mine"), ModelDescription("yours")
    score = TaskScore("MR", "accuracy", 80.0, 10, data={"MR/pos": "1" * 64, "MR/neg": "2" * 64})
    turned = replace(score, data={"MR/neg": "2" * 64, "MR/pos": "1" * 64})
    other = replace(score, data={"MR/pos": "1" * 64, "MR/neg": "3" * 64})
    one, same, another = (Evaluation(m, {"MR": s}, versions={"torch": "2"}) for m, s in
                          ((mine, score), (yours, turned), (yours, other)))  # fmt: skip
    assert "- versions: torch 2\n" in markdown([one, same])
    digest = hashlib.sha256(("2" * 64 + "1" * 64).encode()).hexdigest()
    assert f"- data, SHA-256: MR {digest}\n" in markdown([one, same])
    assert f"- data, SHA-256 of mine: MR {digest}\n" in markdown([one, another])
    assert "- data, SHA-256 of yours: MR " in markdown([one, another])


def test_folders_go_by_their_last_part_unless_two_share_it():
    one, other, third = (evaluation(ModelDescription(name)) for name in ("/a/nano", "/b/nano", "/b/opt"))
    assert labels([one, third]) == ["nano", "opt"]
    assert labels([one, other, third]) == ["/a/nano", "/b/nano", "opt"]


def described(**settings):
    return evaluation(replace(MODEL, **{"demonstrations": (), **settings}))


def test_one_model_set_up_twice_goes_by_what_differs():
    plain, cat = described(), described(demonstrations=(("A cat.", "Cat"),))
    name = "facebook/opt-125m"
    assert labels([plain, cat]) == [f"{name}, no demonstration", f"{name}, demonstration 'Cat'"]
    pets = described(demonstrations=(("A cat.", "Cat"), ("A dog.", "Dog")), layer=-2)
    assert labels([cat, pets]) == [f"{name}, demonstration 'Cat', layer -1", f"{name}, 2 demonstrations, layer -2"]
    other = described(template='"{text}"', dtype="bfloat16")
    assert labels([plain, other]) == [f"{name}, {each.model.template}, {each.model.dtype}" for each in (plain, other)]
    assert labels([plain, evaluation(ModelDescription("mine"))]) == [name, "mine"]
    assert labels([described(name="/a/nano"), described(name="/a/nano", layer=-3)]) == [
        "nano, layer -1",
        "nano, layer -3",
    ]
    assert [line for line in markdown([plain, cat]).splitlines() if line.startswith(f"| {name}, demonstration 'Cat' |")]


def test_markup_in_a_name_is_text():
    assert "[red]x" in show(evaluation(ModelDescription("[red]x")))
