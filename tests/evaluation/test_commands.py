"""``prompteol evaluate``, ``reproduce`` and ``plot``, as somebody at a terminal uses them."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from prompteol.cli.app import app
from prompteol.evaluation import read_results


@pytest.fixture(autouse=True)
def _few_folds(monkeypatch):
    monkeypatch.setattr("prompteol.evaluation.scoring._FOLDS", 3)


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


def run(*arguments, code=0, **options):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], **options)
    assert result.exit_code == code, result.output
    return result


def test_models_and_baselines_in_one_table(tiny, senteval, tmp_path):
    shutil.rmtree(senteval / "CR")
    files = {name: tmp_path / f"out.{name}" for name in ("json", "md", "png")}
    result = run(
        "evaluate", "-m", tiny("llama"), "-m", tiny("qwen2"), "--senteval", senteval,
        "--tasks", "all", "--tasks", "sts-b-dev", "--baseline", "tfidf", "--baseline", "mean", "--device", "cpu",
        "-o", files["json"], "--markdown", files["md"], "--plot", files["png"],
    )  # fmt: skip
    evaluations = read_results([files["json"]])
    llama, qwen = tiny("llama"), tiny("qwen2")
    names = [llama, f"{llama}, mean pooling", qwen, f"{qwen}, mean pooling", "tf-idf"]
    assert [each.model.name for each in evaluations] == names
    assert all(set(each.missing) == {"CR"} and len(each.scores) == 14 for each in evaluations)
    assert evaluations[0].scores["STS12"].score != evaluations[1].scores["STS12"].score
    assert [each.model.dtype for each in evaluations] == ["float32"] * 4 + [None]
    assert "| tf-idf | " in files["md"].read_text()
    assert files["png"].read_bytes().startswith(b"\x89PNG")
    assert "missing: CR" in result.stdout
    assert "CR is missing" in result.stderr


def test_a_sentence_transformers_model_as_baseline(tiny, whole_senteval, tmp_path):
    saved = tmp_path / "saved"
    run("create", "-m", tiny("opt"), "-o", saved)
    result = run(
        "evaluate", "-m", tiny("opt"), "--senteval", whole_senteval, "--tasks", "STS13", "-o", "-", "--baseline", saved
    )
    ours, baseline = json.loads(result.stdout)["evaluations"]
    assert baseline["scores"]["STS13"]["score"] == pytest.approx(ours["scores"]["STS13"]["score"], abs=0.01)
    assert baseline["model"]["template"] is None


@pytest.mark.parametrize("given", [["--tasks", "STS13,mr"], ["--tasks", "MR", "--tasks", "sts13"]])
def test_several_tasks_in_every_way_to_write_them(tiny, whole_senteval, given):
    result = run("evaluate", "-m", tiny("llama"), "--senteval", whole_senteval, "-o", "-", *given)
    (evaluation,) = json.loads(result.stdout)["evaluations"]
    assert list(evaluation["scores"]) == ["STS13", "MR"]


def test_groups_may_follow_one_another_too(tiny, whole_senteval):
    result = run("evaluate", "-m", tiny("llama"), "--senteval", whole_senteval, "-o", "-", "--tasks", "mr,dev")
    (evaluation,) = json.loads(result.stdout)["evaluations"]
    assert list(evaluation["scores"]) == ["STS-B-dev", "SICK-R-dev", "MR"]


def test_the_prompt_is_in_the_result(tiny, whole_senteval):
    result = run(
        "evaluate", "-m", tiny("llama"), "--senteval", whole_senteval, "--tasks", "sts-b", "-o", "-", "--layer", "-2",
        "--template", 'I say "{text}" in one word:"', "--demonstration", "A cat.=>Cat", "--dtype", "bfloat16",
    )  # fmt: skip
    (evaluation,) = json.loads(result.stdout)["evaluations"]
    model = evaluation["model"]
    assert (model["template"], model["demonstrations"]) == ('I say "{text}" in one word:"', [["A cat.", "Cat"]])
    assert (model["layer"], model["dtype"]) == (-2, "bfloat16")


def test_a_saved_model_keeps_its_demonstrations(tiny, whole_senteval, tmp_path):
    run("create", "-m", tiny("llama"), "-o", tmp_path / "saved", "--demonstration", "A cat.=>Cat")
    result = run("evaluate", "-m", tmp_path / "saved", "--senteval", whole_senteval, "--tasks", "sts-b", "-o", "-")
    assert json.loads(result.stdout)["evaluations"][0]["model"]["demonstrations"] == [["A cat.", "Cat"]]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--tasks", "STS17"], "no task is called 'STS17'; the groups are sts, transfer, dev, all, the tasks STS12"),
        (["--senteval", "nowhere"], "'nowhere' is no folder"),
        (["--baseline", "no/such", "--tasks", "sts13"], "--baseline 'no/such' is neither tfidf, mean nor a model"),
        (["-o", "nowhere/x.json"], "does not exist"),
    ],
)
def test_mistakes_are_one_line(tiny, whole_senteval, arguments, complaint):
    result = run("evaluate", "-m", tiny("llama"), "--senteval", whole_senteval, *arguments, code=2)
    assert complaint in result.stderr
    assert "Traceback" not in result.output


def test_what_is_done_is_kept_when_a_later_model_fails(tiny, whole_senteval, tmp_path):
    files = {name: tmp_path / f"out.{name}" for name in ("json", "md", "png")}
    result = run(
        "evaluate", "-m", tiny("llama"), "-m", "no/such-model", "-m", tiny("opt"),
        "--senteval", whole_senteval, "--tasks", "sts13", "-o", files["json"],
        "--markdown", files["md"], "--plot", files["png"], code=2,
    )  # fmt: skip
    assert "no/such-model" in result.stderr
    assert [each.model.name for each in read_results([files["json"]])] == [tiny("llama")]
    assert "| STS13 |" in files["md"].read_text()
    assert files["png"].read_bytes().startswith(b"\x89PNG")
    assert "Spearman" in result.stdout


def test_a_reader_that_goes_away_costs_no_result(tiny, whole_senteval, tmp_path, monkeypatch):
    def gone(_):
        raise SystemExit(1)

    monkeypatch.setattr("prompteol.cli.console.show", gone)
    options = ["--senteval", whole_senteval, "--tasks", "sts-b", "-o", tmp_path / "r.json"]
    run("evaluate", "-m", tiny("opt"), *options, code=1)
    assert read_results([tmp_path / "r.json"])[0].scores


def test_nothing_is_written_when_the_first_model_fails(whole_senteval, tmp_path):
    run("evaluate", "-m", "no/such", "--senteval", whole_senteval, "--tasks", "sts13", "-o", tmp_path / "out", code=2)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--baseline", "tfidf", "--baseline", "no/such"], "--baseline 'no/such' is neither tfidf, mean nor a model"),
        (["--baseline", "./nowhere"], "--baseline './nowhere' is neither tfidf, mean nor a model"),
        (["--tasks", "transfer", "--plot", "x.png"], "--plot draws STS, and of its tasks none is here"),
    ],
)
def test_what_the_end_would_fail_on_is_said_before_any_model_loads(whole_senteval, arguments, complaint, monkeypatch):
    monkeypatch.setattr("prompteol.cli.model_options.ModelOptions.load", lambda *_: pytest.fail("a model was loaded"))
    result = run("evaluate", "-m", "no/such-model", "--senteval", whole_senteval, *arguments, code=2)
    assert complaint in result.stderr


def test_two_results_never_share_a_file(whole_senteval, tmp_path):
    same = ("-o", tmp_path / "r", "--markdown", tmp_path / "r")
    refused = run("evaluate", "-m", "/no/such/model", "--senteval", whole_senteval, *same, code=2)
    assert "name one file twice" in refused.stderr
    assert not (tmp_path / "r").exists()


def test_a_damaged_file_stops_before_any_model_loads(senteval):
    path = senteval / "STS/STS12-en-test/STS.gs.MSRvid.txt"
    path.write_text(path.read_text().replace("\n", "\nx", 1))
    result = run("evaluate", "-m", "no/such-model", "--senteval", senteval, code=2)
    assert f"{path}, line 2: expected a score from 0 to 5" in result.stderr


def test_a_table_of_the_paper_with_local_models(tiny, whole_senteval, tmp_path):
    output = tmp_path / "out"
    result = run(
        "reproduce", "icl", "--output", output, "-m", "opt-125m", "-m", "opt-1.3b", "--senteval", whole_senteval,
        "--model-path", f"opt-125m={tiny('opt')}", "--model-path", f"opt-1.3b={tiny('llama')}", "--yes",
    )  # fmt: skip
    first, second = read_results([output / "opt-125m.json", output / "opt-1.3b.json"])
    assert first.model.name == "facebook/opt-125m"
    assert first.model.demonstrations == (("A man is smoking.", "Smoking"),)
    assert second.model.demonstrations == (("relating to switzerland or its people.", "Swiss"),)
    comparison = (output / "comparison.md").read_text()
    assert "paper, in-context | 62.22 | 73.10 |" in comparison
    assert "paper, in-context | 72.78 | 83.77 |" in comparison
    assert "difference" in result.stdout


def test_a_table_goes_on_where_it_was_stopped(tiny, whole_senteval, senteval, tmp_path):
    arguments = (
        "reproduce", "icl", "--output", tmp_path, "-m", "opt-125m", "-m", "opt-1.3b", "--senteval", whole_senteval,
        "--model-path", f"opt-125m={tiny('opt')}", "--model-path", f"opt-1.3b={tiny('llama')}", "--yes",
    )  # fmt: skip
    run(*arguments)
    whole = (tmp_path / "comparison.md").read_text()
    first = (tmp_path / "opt-125m.json").read_bytes()
    (tmp_path / "opt-1.3b.json").unlink()
    result = run(*arguments, "--resume")
    assert tiny("opt") not in result.stdout
    assert (tmp_path / "opt-125m.json").read_bytes() == first
    assert read_results([tmp_path / "opt-1.3b.json"])[0].model.name == "facebook/opt-1.3b"
    assert len((tmp_path / "comparison.md").read_text().splitlines()) == len(whole.splitlines())
    scores = senteval / "STS" / "STS13-en-test" / "STS.gs.OnWN.txt"
    scores.write_text(scores.read_text().replace(scores.read_text().split("\n")[0], "2.5", 1))
    for other in (["--dtype", "bfloat16"], ["--senteval", senteval]):
        refused = run(*arguments, "--resume", *other, code=2)
        assert "opt-125m.json' holds results of another model, demonstration, precision or data" in refused.stderr
    plain = run("reproduce", "sts", *arguments[2:], "--resume", code=2)
    assert "holds results of another model, demonstration" in plain.stderr


def test_what_is_needed_is_said_and_nothing_starts_without_consent(tmp_path):
    result = run("reproduce", "sts", "--output", tmp_path / "out", "-m", "opt-6.7b", code=2)
    assert "facebook/opt-6.7b" in result.stdout
    assert "13.3" in result.stdout
    assert "26.6" in result.stdout
    assert "add --yes" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("there", ["opt-125m.json", "comparison.md"])
def test_what_is_there_is_replaced_with_force_alone(tiny, whole_senteval, tmp_path, there):
    (tmp_path / there).write_text("hours of work")
    arguments = (
        "reproduce", "icl", "--output", tmp_path, "-m", "opt-125m", "--senteval", whole_senteval,
        "--model-path", f"opt-125m={tiny('opt')}", "--yes",
    )  # fmt: skip
    refused = run(*arguments, code=2)
    assert there in refused.stderr
    assert "exists already; add --force" in refused.stderr
    assert "What will run" not in refused.stdout
    assert (tmp_path / there).read_text() == "hours of work"
    run(*arguments, "--force")
    assert (tmp_path / there).read_text() != "hours of work"


@pytest.mark.parametrize("below", ["", "deeper/"])
def test_an_output_that_is_a_file(tmp_path, below):
    (tmp_path / "out").write_text("")
    result = run("reproduce", "sts", "--output", f"{tmp_path / 'out'}/{below}", "--yes", code=2)
    assert f"{str(tmp_path / 'out')!r} is a file" in result.stderr
    assert "Traceback" not in result.output


def test_one_model_that_fails_does_not_cost_the_others(tiny, whole_senteval, tmp_path):
    result = run(
        "reproduce", "fine-tuned", "--output", tmp_path, "--senteval", whole_senteval, "--yes",
        "-m", "prompteol-opt-1.3b", "-m", "prompteol-llama-7b", "--model-path", f"prompteol-llama-7b={tiny('llama')}",
    )  # fmt: skip
    assert "error: prompteol-opt-1.3b" in result.stderr
    assert "1 of 2 models" in result.stderr
    assert "paper, fine-tuned" in (tmp_path / "comparison.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["icl", "-m", "opt-3b"], "table 'icl' has no model 'opt-3b'; it has opt-125m"),
        (["icl", "--model-path", "opt-125m"], "expected NAME=FOLDER"),
        (["transfer", "-m", "opt-125m"], "it has opt-6.7b"),
    ],
)
def test_a_plan_that_cannot_be(tmp_path, arguments, complaint):
    assert complaint in run("reproduce", *arguments, "--output", tmp_path, "--yes", code=2).stderr


def test_plots_from_result_files(tiny, whole_senteval, tmp_path):
    for name in ("llama", "opt"):
        run("evaluate", "-m", tiny(name), "--senteval", whole_senteval, "-o", tmp_path / f"{name}.json")
    for kind in ("sts", "scaling"):
        picture = tmp_path / f"{kind}.png"
        run("plot", tmp_path / "llama.json", tmp_path / "opt.json", "--kind", kind, "--output", picture)
        assert picture.read_bytes().startswith(b"\x89PNG")
    alone = run("plot", tmp_path / "opt.json", "--kind", "scaling", "--output", tmp_path / "one.png").stderr
    assert "one model makes a point and no line" in alone
    assert "exists already" in run("plot", tmp_path / "opt.json", "-o", picture, code=2).stderr
