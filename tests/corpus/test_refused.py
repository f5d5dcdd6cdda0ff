"""A command that is refused leaves the folder as it was; what others left in it is never taken for ours."""

import json
import os
import threading
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

import prompteol
from prompteol import PromptEOL
from prompteol.cli.app import app
from prompteol.corpus.storage import CorpusFolder, locked
from prompteol.errors import CorpusError, PromptEOLError

ROWS = [{"text": f"Sentence {number}."} for number in range(30)]


def contents(folder):
    return {str(path.relative_to(folder)): path.is_file() and path.read_bytes() for path in Path(folder).rglob("*")}


def test_a_folder_of_something_else_stays_as_it_was(static, tmp_path):
    home = tmp_path / "home"
    (home / "sub" / "deep").mkdir(parents=True)
    for name in ("notes.txt", ".x.partial", "sub/deep/.video.mkv.partial", ".shard-000001.parquet.0123abcd.partial"):
        (home / name).write_text("precious")
    before = contents(home)

    with pytest.raises(CorpusError, match=r"holds 'notes.txt' and no corpus"):
        prompteol.embed_corpus(static, ROWS, home)
    assert contents(home) == before


def test_a_corpus_loses_no_file_of_others(static, tmp_path):
    out = tmp_path / "out"
    (out / ".parts" / "more").mkdir(parents=True)
    kept = [".notes.partial", ".parts/notes", ".parts/.a.json.0123abcd.partial", ".parts/more/000001.jsonl", ".x/y"]
    for name in kept:
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("precious")
    gone = [".shard-000001.npy.0123abcd.partial", ".parts/.000001.jsonl.0123abcd.partial", "..lock.0123abcd.partial"]
    for name in gone:
        (out / name).touch()
    prompteol.embed_corpus(static, ROWS, out)

    found = contents(out)
    assert [name for name in kept if name not in found] == []
    assert [name for name in gone if name in found] == []


def test_another_model_a_second_process_and_a_missing_model_leave_no_trace(static, tmp_path, model):
    out = tmp_path / "out"
    prompteol.embed_corpus(static, ROWS, out)
    before = contents(out)
    with pytest.raises(CorpusError, match="another"):
        prompteol.embed_corpus(model, ROWS, out)
    assert contents(out) == before

    with pytest.raises(PromptEOLError):
        prompteol.embed_corpus(str(tmp_path / "nothing"), ROWS, tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()

    with locked(CorpusFolder(out)):
        during = contents(out)
        with pytest.raises(CorpusError, match=f"process {os.getpid()} on .* is writing this folder"):
            prompteol.embed_corpus(static, ROWS, out)
        assert contents(out) == during
    assert contents(out) == before


@pytest.mark.parametrize("name", ["engine", "attention"])
def test_another_computation_is_refused_with_both_named(base, tmp_path, name):
    def computing(value):
        one = PromptEOL(base, device="cpu", engine=value if name == "engine" else "auto")
        if name == "attention":
            one.module.attention = value
        return one

    first, second = {"engine": ("auto", "stock"), "attention": ("auto", "sdpa")}[name]
    prompteol.embed_corpus(computing(first), ROWS, tmp_path / "out")
    with pytest.raises(CorpusError, match=f'another {name}: "{first}" there, "{second}" here'):
        prompteol.embed_corpus(computing(second), ROWS, tmp_path / "out")
    assert len(prompteol.embed_corpus(computing(first), ROWS, tmp_path / "out")) == 30


def test_another_kind_of_device_is_refused_where_something_is_left_to_compute(static, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr("prompteol.corpus.embed.finish", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            prompteol.embed_corpus(static, ROWS, tmp_path / "out")
    manifest = tmp_path / "out" / "manifest.json"
    record = json.loads(manifest.read_text())
    assert record["device"] == "cpu"
    manifest.write_text(json.dumps({**record, "device": "cuda"}))
    with pytest.raises(CorpusError, match='another device: "cuda" there, "cpu" here'):
        prompteol.embed_corpus(static, ROWS, tmp_path / "out")
    manifest.write_text(json.dumps(record))
    prompteol.embed_corpus(static, ROWS, tmp_path / "out")
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "device": "cuda"}))
    assert len(prompteol.embed_corpus(static, ROWS, tmp_path / "out")) == 30


def test_what_failed_before_the_first_shard_stays_until_another_job_is_accepted(static, tmp_path):
    table = tmp_path / "table.jsonl"
    table.write_text('{"text": null}\n{"text": "x"}\n')
    with pytest.raises(CorpusError, match="line 1"):
        prompteol.embed_corpus(static, table, tmp_path / "out", column="text")
    before = contents(tmp_path / "out")
    with pytest.raises(PromptEOLError):
        prompteol.embed_corpus(str(tmp_path / "nothing"), table, tmp_path / "out")
    assert contents(tmp_path / "out") == before
    assert len(prompteol.embed_corpus(static, table, tmp_path / "out", on_error="skip", column="text")) == 1


@pytest.mark.parametrize("note", ['"x"', "", "[1]", "{}", '{"pid": "x", "host": 3}', "[" * 100_000, b"\xff\0\x80"])
def test_a_note_that_no_process_wrote_is_none(static, tmp_path, note):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".lock").write_bytes(note if isinstance(note, bytes) else note.encode())

    assert len(prompteol.embed_corpus(static, ROWS, tmp_path / "out")) == 30
    assert not (tmp_path / "out" / ".lock").exists()


@pytest.mark.parametrize("name", [".lock", ".parts/lock", ".parts/000000.jsonl"])
def test_a_folder_in_the_place_of_a_file_is_one_line(static, tmp_path, name):
    (tmp_path / "out" / name / "x").mkdir(parents=True)
    with pytest.raises(CorpusError, match="was not written: ") as error:
        prompteol.embed_corpus(static, ROWS, tmp_path / "out")
    assert "\n" not in str(error.value)
    assert "make room" not in str(error.value)


@pytest.mark.parametrize("part", ['"x"', "", "[1]", "{}", b"\xff"])
def test_a_damaged_note_of_a_shard_is_none(static, tmp_path, part, monkeypatch):
    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr("prompteol.corpus.embed.finish", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            prompteol.embed_corpus(static, ROWS, out, shard_rows=10)
    for path in (out / ".parts").glob("0*"):
        path.write_bytes(part if isinstance(part, bytes) else part.encode())
    assert len(prompteol.embed_corpus(static, ROWS, out, shard_rows=10)) == 30


def test_a_file_in_the_place_of_the_folder_is_one_line(tmp_path):
    (tmp_path / "in.txt").write_text("a\n")
    (tmp_path / "file").write_text("precious")
    for name in ("file/", "file/sub/"):
        result = CliRunner().invoke(app, ["encode", str(tmp_path / "in.txt"), "-o", f"{tmp_path}/{name}"])
        assert result.exit_code == 2
        assert len(result.stderr.splitlines()) == 1
        assert "file" in result.stderr
        assert "make room" not in result.stderr
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_torchrun_after_a_job_that_failed_before_its_first_shard(static, tmp_path, monkeypatch):
    table = tmp_path / "in.jsonl"
    table.write_text('{"text": null, "body": "b"}\n{"text": "x", "body": "c"}\n')
    with pytest.raises(CorpusError, match="line 1"):
        prompteol.embed_corpus(static, table, tmp_path / "out", column="text", shard_rows=1)

    def work(rank):
        os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
        if rank == 0:
            # So that the other one sees the manifest of the job that failed.
            time.sleep(3)
        prompteol.embed_corpus(static, table, tmp_path / "out", column="body", shard_rows=1)
        os._exit(7)

    children = []
    for rank in range(2):
        child = os.fork()
        if not child:
            try:
                work(rank)
            finally:
                os._exit(1)
        children.append(child)
    # What waits for a process that failed would wait forever.
    end = threading.Timer(60, lambda: [os.kill(child, 9) for child in children])
    end.start()
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    end.cancel()

    assert codes == [7, 7]
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["column"] == "body"
