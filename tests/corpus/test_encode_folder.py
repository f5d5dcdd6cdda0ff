"""``prompteol encode -o OUT/`` and ``prompteol search`` at the command line."""

import gzip
import json

import numpy as np
import pytest
from typer.testing import CliRunner

import prompteol
from prompteol.cli.app import app
from prompteol.cli.encode_folder import show_corpus_progress
from prompteol.corpus.progress import CorpusProgress


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("PROMPTEOL_CACHE", str(tmp_path / "cache"))
    return lambda *arguments, **options: CliRunner().invoke(app, list(map(str, arguments)), **options)


def test_a_folder_of_shards_and_on_again(run, model, base, corpus_file, texts, tmp_path, digest):
    command = [
        "encode", corpus_file, "-o", f"{tmp_path}/out/", "-m", base, "--keep", "id", "--keep", "text",
        "--shard-rows", 50, "--metrics-json", tmp_path / "metrics.json", "--device", "cpu",
    ]  # fmt: skip
    result = run(*command)

    assert result.exit_code == 0, result.output
    assert "130 vectors of 32 dimensions, float32, in 3 shards" in result.stderr
    corpus = prompteol.open_corpus(tmp_path / "out")
    np.testing.assert_allclose(corpus.vectors[:], model.encode(texts), atol=1e-5)
    assert json.loads((tmp_path / "metrics.json").read_text())["rows"] == 130
    before = digest(tmp_path / "out")
    again = run(*command)
    assert again.exit_code == 0
    assert "in 3 shards; it was whole, and nothing was left to do" in again.stderr
    assert digest(tmp_path / "out") == before
    assert run(*command, "--no-resume").exit_code == 2


def test_two_workers_and_two_devices_write_what_one_process_writes(run, base, corpus_file, tmp_path, digest):
    command = ["encode", corpus_file, "-m", base, "--shard-rows", 30, "--threads", 1, "-o"]
    for name, share in {"one": [], "two": ["--workers", 2], "devices": ["--device", "cpu,cpu"]}.items():
        result = run(*command, f"{tmp_path}/{name}/", *share)
        assert result.exit_code == 0, result.output

    assert digest(tmp_path / "one") == digest(tmp_path / "two") == digest(tmp_path / "devices")


@pytest.mark.parametrize("share", [[], ["--workers", 2]])
def test_metrics_of_finished_work_leave_nothing(run, base, tmp_path, share):
    """The rows that the lines of a table promise, its header among them, are corrected by those that are read."""
    (tmp_path / "in.csv").write_text('id,text\n1,"two\nlines"\n2,one\n3,more')
    command = [
        "encode", tmp_path / "in.csv", "-o", f"{tmp_path}/out/", "-m", base, "--device", "cpu", "--shard-rows", 1,
        "--metrics-json", tmp_path / "metrics.json", *share,
    ]  # fmt: skip
    for rows, resumed in [(3, 0), (0, 3)]:
        assert run(*command).exit_code == 0
        told = json.loads((tmp_path / "metrics.json").read_text())
        assert [told[name] for name in ("rows", "rows_resumed", "total", "seconds_left")] == [rows, resumed, 3, 0]


def test_a_technique(run, base, corpus_file, texts, tmp_path):
    command = ["encode", corpus_file, "-m", base, "--technique", "prompt-ensemble", "-o", f"{tmp_path}/out/"]
    result = run(*command)
    assert result.exit_code == 0, result.output

    vectors = prompteol.PromptEOL(base, technique="prompt-ensemble", device="cpu").encode(texts)
    np.testing.assert_allclose(prompteol.open_corpus(tmp_path / "out").vectors[:], vectors, atol=1e-5)


def test_a_compressed_pipe_to_a_folder(run, base, tmp_path):
    (tmp_path / "in.txt.gz").write_bytes(gzip.compress(b"one\ntwo\n"))
    assert run("encode", tmp_path / "in.txt.gz", "-o", f"{tmp_path}/1/", "-m", base).exit_code == 0
    assert run("encode", tmp_path / "in.txt.gz", "-o", f"{tmp_path}/1.npy", "-m", base).exit_code == 0
    assert run("encode", "-", "-o", f"{tmp_path}/2/", "-m", base, input="one\ntwo\n").exit_code == 0

    one, two = (prompteol.open_corpus(tmp_path / name).vectors[:] for name in "12")
    assert np.array_equal(one, two)
    np.testing.assert_allclose(np.load(tmp_path / "1.npy"), one, atol=1e-5)


def test_rows_at_fault_are_listed(run, base, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"text": "fine"}\n{"text": null}\n')
    command = ["encode", tmp_path / "in.jsonl", "-o", f"{tmp_path}/out/", "-m", base]

    stopped = run(*command)
    assert stopped.exit_code == 2
    assert "in.jsonl', line 2: 'text' is null, not a string" in stopped.stderr
    assert len(stopped.stderr.splitlines()) == 1
    skipped = run(*command, "--on-error", "skip")
    assert skipped.exit_code == 0
    assert "left out: 1 row, which" in skipped.stderr
    assert json.loads((tmp_path / "out" / "errors.jsonl").read_text())["at"] == "line 2"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--keep", "id", "-o", "v.npy"], "--keep is for a folder of shards"),
        (["--no-resume", "-o", "v.npy"], "--no-resume is for a folder of shards"),
        (["--device", "cpu,gpu9", "-o", "out/"], "gpu9"),
        (["--force", "-o", "out/"], "--force is for files"),
        (["nowhere/*.txt", "-o", "out/"], "no such file: 'nowhere/*.txt'"),
    ],
)
def test_a_mistake_is_one_line(run, corpus_file, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    result = run("encode", corpus_file, *arguments)

    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_search_in_files_and_in_a_folder(run, base, corpus_file, texts, tmp_path):
    result = run("search", texts[5], corpus_file, "-k", 2, "-m", base)
    hits = [json.loads(line) for line in result.stdout.splitlines()]

    assert result.exit_code == 0, result.output
    assert hits[0]["text"] == texts[5]
    assert [hit["rank"] for hit in hits] == [1, 2]
    run("encode", corpus_file, "-o", f"{tmp_path}/out/", "-m", base, "--keep", "id", "--keep", "text")
    again = run("search", texts[5], f"{tmp_path}/out/", "-k", 1)
    assert json.loads(again.stdout)["id"] == "doc-5"


def test_search_leaves_rows_at_fault_out_where_it_says_how(run, base, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"text": "fine"}\n{"text": null}\n{"text": "also"}\n')
    command = ["search", "fine", tmp_path / "in.jsonl", "-m", base, "-k", 1]

    stopped = run(*command)
    assert stopped.exit_code == 2
    assert "in.jsonl', line 2: 'text' is null" in stopped.stderr
    assert "--on-error skip" in stopped.stderr
    for _ in range(2):
        found = run(*command, "--on-error", "skip")
        assert found.exit_code == 0, found.output
        assert json.loads(found.stdout)["text"] == "fine"
        assert "1 rows at fault were left out, first " in found.stderr
        assert "in.jsonl', line 2: 'text' is null" in found.stderr
    assert run(*command).exit_code == 2


def test_search_asks_again_and_again(run, base, corpus_file, texts):
    result = run("search", "-i", corpus_file, "-k", 1, "-m", base, input=f"{texts[3]}\n\n{texts[8]}\n")

    assert [json.loads(line)["text"] for line in result.stdout.splitlines()] == [texts[3], texts[8]]


def test_ray_takes_an_address_or_none():
    from prompteol.cli.app import _with_address

    assert _with_address(["a", "--ray", "b.txt"]) == ["a", "--ray", "", "b.txt"]
    assert _with_address(["a", "--ray", "auto", "b.txt"]) == ["a", "--ray", "auto", "b.txt"]
    assert _with_address(["--ray", "ray://head:10001"]) == ["--ray", "ray://head:10001"]
    assert _with_address(["a", "--ray"]) == ["a", "--ray", ""]


def test_an_empty_input_leaves_nothing(run, base, tmp_path):
    (tmp_path / "empty.txt").write_text("")
    result = run("encode", tmp_path / "empty.txt", "-o", f"{tmp_path}/out/", "-m", base, "--device", "cpu")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (2, "error: the input holds no text")
    assert not (tmp_path / "out").exists()


def test_of_torchruns_processes_the_first_writes_metrics(base, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with show_corpus_progress(tmp_path / "metrics.json") as listen:
        monkeypatch.setattr("prompteol.cli.encode_folder._SECONDS_BETWEEN_METRICS", -1)
        listen(CorpusProgress(rows=1))
    assert not (tmp_path / "metrics.json").exists()


def test_a_search_says_why_it_shows_no_text(run, base, corpus_file, tmp_path):
    run("encode", corpus_file, "-o", f"{tmp_path}/out/", "-m", base, "--device", "cpu")
    found = run("search", "and so on", f"{tmp_path}/out", "-m", base, "-k", 1)
    assert json.loads(found.stdout)["text"] is None
    assert found.stderr.splitlines()[-1] == "the folder keeps no text to show: embed it with encode --keep text"
