"""``prompteol train`` and ``merge``: from a file to a model that everybody loads, and faults said before it starts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
from typer.testing import CliRunner

pytest.importorskip("peft")

from prompteol import PromptEOL
from prompteol.cli.app import app
from prompteol.cli.progress import stages
from prompteol.training import Point, Training, read_curve


@pytest.fixture
def prompteol(tmp_path, monkeypatch, triplets, dev):
    """Call the command line in a folder with data."""
    monkeypatch.chdir(tmp_path)
    rows = zip(*triplets.columns.values(), strict=True)
    (tmp_path / "nli.csv").write_text("sent0,sent1,hard_neg\n" + "".join(",".join(row) + "\n" for row in rows))
    scored = zip(dev.first, dev.second, dev.scores, strict=True)
    (tmp_path / "dev.tsv").write_text(
        "sentence1\tsentence2\tscore\n" + "".join("\t".join(map(str, row)) + "\n" for row in scored)
    )
    (tmp_path / "texts.txt").write_text("".join(f"{text}\n" for text in triplets.columns["anchor"]))
    return lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)))


QUICK = ("--batch-size", 16, "--learning-rate", 0.005, "--warmup-steps", 2, "--eval-steps", 2, "--device", "cpu")


def test_train_resume_and_merge(prompteol, tiny, tmp_path):
    lora = ("--lora-rank", 4, "--lora-alpha", 8, "--lora-dropout", 0, "--no-quantize")
    command = ["train", "-m", tiny("llama"), "-o", "out", "--data", "nli.csv", "--dev", "dev.tsv", *lora, *QUICK]
    done = prompteol(*command, "--data-license", "CC BY-SA 4.0", "--plot", "curve.png")
    assert done.exit_code == 0, done.output
    assert [line for line in done.stderr.splitlines() if line.startswith("training: 4 of 4 steps")]
    for said in (" before, ", "which was kept", "prompteol merge -m out -o out-merged", "curve.png"):
        assert said in done.stderr
    card = (tmp_path / "out/README.md").read_text()
    assert "nli.csv`, 64 rows of anchor, positive, negative; license: CC BY-SA 4.0" in card
    assert "LoRA rank 4, alpha 8, dropout 0.0, quantize False" in card
    assert (tmp_path / "curve.png").stat().st_size > 5000
    steps = [point.step for point in read_curve("out/curve.jsonl") if point.score is not None]
    assert steps == [0, 2, 4]

    again = prompteol(*command)
    assert again.exit_code == 2
    assert "holds a training already: add --resume" in again.stderr
    assert prompteol(*command, "--resume").exit_code == 0

    merged = prompteol("merge", "-m", "out", "-o", "merged", "--device", "cpu")
    assert merged.exit_code == 0, merged.output
    assert "differs from base plus adapter by" in merged.stderr
    one, two = (SentenceTransformer(name, device="cpu").encode("A cat.") for name in ("out", "merged"))
    assert abs(one - two).max() < 1e-5 * abs(one).max()


def test_without_a_terminal_each_point_is_a_line_and_nothing_else_is_said(prompteol, tiny, tmp_path):
    command = ["train", "-m", tiny("llama"), "-o", "out", "--data", "nli.csv", "--dev", "dev.tsv", "--lora-rank", "4"]
    quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "-m", "prompteol", *map(str, (*command, *QUICK))]
    done = subprocess.run(arguments, env=os.environ | quiet, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    starts = (
        "training: 0 of 4 steps",
        "training: 1 of 4 steps",
        "training: 2 of 4 steps",
        "training: 4 of 4 steps",
        "loss ",
        "score ",
        "out: ",
        "warning: ",
    )
    assert all(line.startswith(starts) for line in done.stderr.splitlines()), done.stderr
    card = (tmp_path / "out" / "README.md").read_text()
    assert "A man sings." not in card


def test_work_that_shows_no_point_is_told_of_now_and_then(capsys, monkeypatch):
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr("prompteol.cli.progress.time.monotonic", lambda: next(clock))
    with stages() as report:
        for step in range(6):
            report("training", step, 300, "steps", "no loss yet")
        report("teacher", 4096, 10_000, "texts")
        report("teacher", 10_000, 10_000, "texts", "done")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "training: 0 of 300 steps; no loss yet"
    assert 2 <= len([line for line in lines if line.startswith("training: ")]) < 6
    assert lines[-1].startswith("teacher: 10,000 of 10,000 texts, ")


def test_no_gain_is_a_warning(prompteol, tiny, monkeypatch):
    curve = [Point(0, score=9.02), Point(1, loss=2.0), Point(2, score=7.06)]
    done = Training(PromptEOL(tiny("llama"), device="cpu"), Path("out"), curve, 2)
    monkeypatch.setattr("prompteol.training.train", lambda *_, **__: done)
    said = prompteol("train", "-m", tiny("llama"), "-o", "out", "--data", "nli.csv", *QUICK)
    assert said.exit_code == 0, said.output
    assert "score 9.02 before, 7.06 at step 2, which was kept" in said.stderr
    assert "warning: the trained model is worse than the base by 1.96" in said.stderr


def test_a_teacher_and_all_weights(prompteol, tiny, tmp_path):
    taught = prompteol("create", "-m", tiny("llama", hidden_size=48), "-o", "teacher")
    assert taught.exit_code == 0, taught.output
    data = ["--data", "texts.txt", "--objective", "distillation", "--teacher", "teacher", "--lora-rank", 0]
    more = ["--teacher", "teacher", "--combine", "average", "--extra-template", "promptreps", "--no-packing", "--bf16"]
    done = prompteol("train", "-m", tiny("llama"), "-o", "out", *data, *more, *QUICK, "-t", "prompt")
    assert done.exit_code == 0, done.output
    card = (tmp_path / "out" / "README.md").read_text()
    assert all(
        setting in card
        for setting in ("combine average", "packing False", "extra_templates ['promptreps']", "bf16 True")
    )
    assert (tmp_path / "out" / "teacher-2.safetensors").is_file()
    assert (tmp_path / "out" / "model.safetensors").is_file()
    assert (tmp_path / "out" / "teacher.safetensors").is_file()
    assert "merge" not in done.stderr
    assert "similarity_weight 20.0" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--data", "nothing.csv"), "no such file: 'nothing.csv'"),
        (("--data", "texts.txt"), "--objective unsupervised"),
        (("--data", "nli.csv", "--column", "sent0"), "1 columns named; contrastive training takes"),
        (("--data", "nli.csv"), "batch_size=256 is more than the 64 rows of nli.csv"),
        (("--data", "nli.csv", "--temperature", "-1"), "temperature=-1.0: expected"),
        (("--data", "texts.txt", "--objective", "distillation", "-b", "8"), "needs a teacher"),
        (("--data", "nli.csv", "--template", "no slot"), "no slot"),
        (("--data", "nli.csv", "--plot", "curve.doc"), "curve.doc"),
    ],
)
def test_faults(prompteol, tmp_path, arguments, said):
    done = prompteol("train", "-m", "/no/such/base", "-o", "out", *arguments)
    assert done.exit_code == 2, done.output
    assert said in done.stderr.replace("\n", " ")
    assert not (tmp_path / "out").exists()


def test_what_is_seldom_meant_is_warned_of(prompteol, tiny, tmp_path):
    rows = (tmp_path / "nli.csv").read_text().splitlines()
    (tmp_path / "twice.csv").write_text("\n".join([*rows, *rows[1:3]]))
    command = ["train", "-m", tiny("llama"), "--data", "twice.csv", "--lora-rank", 4, "-b", 16, "--device", "cpu"]
    done = prompteol(*command, "-o", "one")
    assert done.exit_code == 0, done.output
    said = " ".join(done.stderr.split())
    assert "the rate rises for 100 steps, and there are 4: give a share, --warmup-steps 0.1" in said
    assert "twice.csv: 2 rows have the positive of an earlier one (line 66 that of line 2)" in said
    apart = prompteol(*command, "-o", "two", "--no-duplicates", "--warmup-steps", 0.1)
    assert apart.exit_code == 0, apart.output
    assert "warning" not in apart.stderr
    assert "batch_sampler no_duplicates" in (tmp_path / "two" / "README.md").read_text()


def test_ctrl_c_says_how_to_go_on(prompteol, tiny, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(SentenceTransformerTrainer, "train", interrupted)
    done = prompteol("train", "-m", tiny("llama"), "-o", "out", "--data", "nli.csv", "--lora-rank", 4, *QUICK)
    assert done.exit_code == 130
    assert "if out holds a checkpoint, the same command with --resume goes on" in done.stderr
    assert "nothing half-written" not in done.stderr


def test_columns_of_the_development_pairs(prompteol, tiny, tmp_path):
    dev = (tmp_path / "dev.tsv").read_text().splitlines()
    (tmp_path / "odd.tsv").write_text("\n".join(["a\tb\trating\tnote", *(f"{line}\tx" for line in dev[1:])]))
    command = [
        "train",
        "-m",
        tiny("llama"),
        "-o",
        "out",
        "--data",
        "nli.csv",
        "--dev",
        "odd.tsv",
        "--lora-rank",
        4,
        *QUICK,
    ]
    unnamed = prompteol(*command)
    assert unnamed.exit_code == 2
    assert "--dev-column" in unnamed.stderr
    without = prompteol("train", "-m", tiny("llama"), "-o", "out", "--data", "nli.csv", "--dev-column", "a")
    assert (without.exit_code, "says nothing without --dev" in without.stderr) == (2, True)
    named = prompteol(*command, "--dev-column", "a", "--dev-column", "b", "--dev-column", "rating")
    assert named.exit_code == 0, named.output
    assert "which was kept" in named.stderr


def test_two_processes_as_documented(prompteol, tiny, tmp_path):
    base = tiny("llama")
    command = ["train", "-m", base, "-o", "out", "--data", "nli.csv", "--dev", "dev.tsv", "--lora-rank", 4, *QUICK]
    # torchrun is this module; as one, it is found without the environment's bin folder on PATH.
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
    arguments = [*launcher, "-m", "prompteol", *map(str, command)]
    done = subprocess.run(arguments, env=os.environ | quiet, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("which was kept") == 1
    model = SentenceTransformer("out", device="cpu")
    bare = PromptEOL(base, device="cpu")
    assert abs(model.encode("A cat.") - bare.encode("A cat.")).max() > 1e-3
