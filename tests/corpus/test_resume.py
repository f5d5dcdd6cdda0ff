"""Killed at any moment, the same call goes on and ends in the same bytes; another job is refused."""

import contextlib
import json
import os
import random
import signal
import socket
import threading
import time

import psutil
import pytest

import prompteol
from prompteol import PromptEOL
from prompteol.errors import CorpusError

# As many more as somebody has time for.
KILLS = int(os.environ.get("PROMPTEOL_TEST_KILLS", "8"))
OPTIONS = {"keep": ["id", "text"], "shard_rows": 10, "precision": "int8"}


def in_a_fork(work) -> int:
    """Run ``work`` in a child process, which shares the loaded model; return its id."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    finally:
        os._exit(0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("output_format", ["parquet", "npy"])
def test_killed_at_random_moments_it_ends_in_the_same_bytes(model, corpus_file, tmp_path, digest, output_format):
    options = {**OPTIONS, "output_format": output_format}
    began = time.monotonic()
    prompteol.embed_corpus(model, corpus_file, tmp_path / "whole", **options)
    took = time.monotonic() - began
    chance = random.Random(7)
    kills = 0
    for _ in range(KILLS):
        child = in_a_fork(lambda: prompteol.embed_corpus(model, corpus_file, tmp_path / "out", **options))
        time.sleep(chance.uniform(0, took * 0.7))
        os.kill(child, signal.SIGKILL)
        kills += os.waitpid(child, 0)[1] == signal.SIGKILL
    prompteol.embed_corpus(model, corpus_file, tmp_path / "out", **options)

    assert kills
    assert digest(tmp_path / "out") == digest(tmp_path / "whole")


@pytest.mark.parametrize("moment", ["fsync", "replace", "write"])
@pytest.mark.parametrize("call", range(1, 8, 2))
def test_killed_at_any_system_call_it_ends_in_the_same_bytes(model, corpus_file, tmp_path, digest, moment, call):
    prompteol.embed_corpus(model, corpus_file, tmp_path / "whole", **OPTIONS)

    def work():
        calls = iter(range(1, 10_000))
        if moment == "fsync":
            real = os.fsync
            os.fsync = lambda handle: os._exit(9) if next(calls) == call else real(handle)
        elif moment == "replace":
            renamed = os.replace
            os.replace = lambda path, target: os._exit(9) if next(calls) == call else renamed(path, target)
        else:
            from prompteol.corpus.shards import ShardWriter

            written = ShardWriter.write
            ShardWriter.write = lambda *given: os._exit(9) if next(calls) == call else written(*given)
        prompteol.embed_corpus(model, corpus_file, tmp_path / "out", **OPTIONS)

    assert os.waitstatus_to_exitcode(os.waitpid(in_a_fork(work), 0)[1]) == 9
    prompteol.embed_corpus(model, corpus_file, tmp_path / "out", **OPTIONS)

    assert digest(tmp_path / "out") == digest(tmp_path / "whole")


def test_a_finished_corpus_is_left_as_it_is(model, corpus_file, tmp_path, monkeypatch):
    prompteol.embed_corpus(model, corpus_file, tmp_path / "out", **OPTIONS)
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    prompteol.embed_corpus(model, corpus_file, tmp_path / "out", **OPTIONS)

    assert stamps == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    with pytest.raises(CorpusError, match="leave --no-resume out"):
        prompteol.embed_corpus(model, corpus_file, tmp_path / "out", **OPTIONS, resume=False)


def test_another_model_template_or_input_is_refused_with_both_named(model, base, tiny, corpus_file, tmp_path):
    out = tmp_path / "out"
    prompteol.embed_corpus(model, corpus_file, out, **OPTIONS)
    other = PromptEOL(base, device="cpu", template='The topic of "{text}" is:"')

    with pytest.raises(CorpusError, match="another template") as error:
        prompteol.embed_corpus(other, corpus_file, out, **OPTIONS)
    assert 'This sentence : \\"' in str(error.value)
    assert 'The topic of \\"' in str(error.value)
    other = PromptEOL(tiny("opt"), device="cpu")
    with pytest.raises(CorpusError, match="another model") as error:
        prompteol.embed_corpus(other, corpus_file, out, **OPTIONS)
    assert model.fingerprint()[:12] in str(error.value)
    assert other.fingerprint()[:12] in str(error.value)
    with pytest.raises(CorpusError, match='another precision: "int8" there, "float16" here'):
        prompteol.embed_corpus(model, corpus_file, out, **{**OPTIONS, "precision": "float16"})
    with pytest.raises(CorpusError, match="another keep"):
        prompteol.embed_corpus(model, corpus_file, out, **{**OPTIONS, "keep": ["id"]})
    corpus_file.write_text(corpus_file.read_text().replace("Sentence 7", "Sentence 8"))
    with pytest.raises(CorpusError, match="another input"):
        prompteol.embed_corpus(model, corpus_file, out, **OPTIONS)


def test_rows_of_a_program_are_known_again(model, texts, tmp_path, digest, monkeypatch):
    monkeypatch.setattr("prompteol.corpus.planning._SAMPLE_ROWS", 10)

    def rows(end, change=None):
        for number, text in enumerate(texts[:end]):
            if number == 60:
                raise_at = change == "stop"
                if raise_at:
                    raise KeyboardInterrupt
            yield {"text": text if number != change else "another"}

    with pytest.raises(KeyboardInterrupt):
        prompteol.embed_corpus(model, rows(130, "stop"), tmp_path / "out", shard_rows=20)
    with pytest.raises(CorpusError, match="another input: rows 20 to 39"):
        prompteol.embed_corpus(model, rows(130, 25), tmp_path / "out", shard_rows=20)
    prompteol.embed_corpus(model, rows(130), tmp_path / "out", shard_rows=20)
    prompteol.embed_corpus(model, rows(130), tmp_path / "whole", shard_rows=20)

    assert digest(tmp_path / "out") == digest(tmp_path / "whole")
    with pytest.raises(CorpusError, match="another input"):
        prompteol.embed_corpus(model, rows(120), tmp_path / "out", shard_rows=20)


def test_an_output_within_a_folder_of_inputs_is_no_input(model, corpus_file, tmp_path, digest):
    prompteol.embed_corpus(model, tmp_path, tmp_path / "out", **OPTIONS)
    whole = digest(tmp_path / "out")
    prompteol.embed_corpus(model, tmp_path, tmp_path / "out", **OPTIONS)

    assert digest(tmp_path / "out") == whole


def test_a_link_among_the_inputs_to_the_output_is_no_input(model, corpus_file, tmp_path, digest):
    corpus_file.rename((tmp_path / "in").mkdir() or tmp_path / "in" / corpus_file.name)
    (tmp_path / "in" / "again").symlink_to(tmp_path / "out")
    (tmp_path / "alias").symlink_to(tmp_path)
    prompteol.embed_corpus(model, tmp_path / "in", tmp_path / "out", **OPTIONS)
    whole = digest(tmp_path / "out")
    prompteol.embed_corpus(model, tmp_path / "in", tmp_path / "out", **OPTIONS)
    prompteol.embed_corpus(model, tmp_path / "in", tmp_path / "alias" / "out", **OPTIONS)

    assert digest(tmp_path / "out") == whole


def test_a_folder_of_something_else_is_refused(model, corpus_file, tmp_path):
    with pytest.raises(CorpusError, match=r"holds 'corpus.jsonl' and no corpus"):
        prompteol.embed_corpus(model, corpus_file, tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["corpus.jsonl"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_second_process_is_refused_until_the_first_ends(model, corpus_file, tmp_path):
    from prompteol.corpus.storage import CorpusFolder, locked

    out = tmp_path / "out"
    ready, tell = os.pipe()

    def hold():
        with locked(CorpusFolder(out)):
            os.write(tell, b"x")
            time.sleep(60)

    child = in_a_fork(hold)
    os.read(ready, 1)
    with pytest.raises(CorpusError, match=f"process {child} on {socket.gethostname()} is writing this folder"):
        prompteol.embed_corpus(model, corpus_file, out)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)

    assert (out / ".lock").exists()
    assert len(prompteol.embed_corpus(model, corpus_file, out)) == 130
    assert not (out / ".lock").exists()


def test_a_lock_of_another_host_is_never_taken(model, corpus_file, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".lock").write_text(json.dumps({"pid": 1, "host": "elsewhere"}))

    with pytest.raises(CorpusError, match=r"process 1 on elsewhere is writing this folder.*remove .*\.lock"):
        prompteol.embed_corpus(model, corpus_file, tmp_path / "out")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_processes_of_torchrun_share_the_shards(model, corpus_file, tmp_path, digest):
    prompteol.embed_corpus(model, corpus_file, tmp_path / "whole", **OPTIONS)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".shard-000003.parquet.00000000.partial").touch()  # of a process that was killed

    def work(rank):
        os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
        prompteol.embed_corpus(model, corpus_file, tmp_path / "out", **OPTIONS)
        os._exit(7)

    children = [in_a_fork(lambda rank=rank: work(rank)) for rank in range(2)]

    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [7, 7]
    assert digest(tmp_path / "out") == digest(tmp_path / "whole")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_two_workers_killed_with_their_parent_end_in_the_same_bytes(base, corpus_file, tmp_path, digest):
    options = {**OPTIONS, "device": "cpu", "workers": 2}
    began = time.monotonic()
    prompteol.embed_corpus(base, corpus_file, tmp_path / "whole", **options)
    took = time.monotonic() - began
    chance = random.Random(7)
    kills = 0
    for _ in range(max(1, KILLS // 8)):
        child = in_a_fork(lambda: prompteol.embed_corpus(base, corpus_file, tmp_path / "out", **options))
        time.sleep(chance.uniform(took * 0.5, took))
        os.kill(child, signal.SIGKILL)
        kills += os.waitpid(child, 0)[1] == signal.SIGKILL
    prompteol.embed_corpus(base, corpus_file, tmp_path / "out", **options)

    assert kills
    assert digest(tmp_path / "out") == digest(tmp_path / "whole")


def kill_workers(until: threading.Event) -> None:
    """Kill one of this process's workers every half second."""
    while not until.wait(0.5):
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if "popen_loky" in " ".join(child.cmdline()):
                    child.kill()
                    break


def test_a_worker_that_dies_is_an_error_and_its_shards_stay(base, corpus_file, tmp_path, digest):
    prompteol.embed_corpus(base, corpus_file, tmp_path / "whole", **OPTIONS, device="cpu")
    over = threading.Event()
    killer = threading.Thread(target=kill_workers, args=(over,))
    killer.start()
    with pytest.raises(CorpusError, match=r"a worker died before its work was done .* run the same command to go on"):
        prompteol.embed_corpus(base, corpus_file, tmp_path / "out", **OPTIONS, device="cpu", workers=2)
    over.set()
    killer.join()
    prompteol.embed_corpus(base, corpus_file, tmp_path / "out", **OPTIONS, device="cpu", workers=2)

    assert digest(tmp_path / "out") == digest(tmp_path / "whole")


@pytest.mark.parametrize("seen", [BrokenPipeError(32, "Broken pipe"), ConnectionResetError(), EOFError()])
def test_a_worker_that_dies_while_it_starts_is_the_same_error(base, corpus_file, tmp_path, monkeypatch, seen):
    def start(*_):
        raise seen

    monkeypatch.setattr("joblib.Parallel.__call__", start)
    with pytest.raises(CorpusError, match=r"a worker died before its work was done \(\S.*run the same command"):
        prompteol.embed_corpus(base, corpus_file, tmp_path / "out", **OPTIONS, device="cpu", workers=2)


def test_another_delimiter_is_refused(model, tmp_path):
    (tmp_path / "in.csv").write_text("text,x;y\na,b;1\n")
    prompteol.embed_corpus(model, tmp_path / "in.csv", tmp_path / "out", delimiter=",", column="text")

    with pytest.raises(CorpusError, match=r"another input: .*delimiter ','\) there, .*delimiter ';'\) here"):
        prompteol.embed_corpus(model, tmp_path / "in.csv", tmp_path / "out", delimiter=";", column="text")


def test_a_command_that_failed_before_the_first_shard_settles_nothing(model, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("id,text\n1,\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="'other'"):
        prompteol.embed_corpus(model, table, tmp_path / "out", column="other")
    table.write_text("id,text\n1,A cat.\n", encoding="utf-8")
    assert len(prompteol.embed_corpus(model, table, tmp_path / "out")) == 1


def test_what_differs_is_shown_however_long_it_is(static, base, tmp_path):
    files = [tmp_path / f"number-{number}-of-many-files-of-a-corpus.txt" for number in range(9)]
    for file in files:
        file.write_text("a\n")
    prompteol.embed_corpus(static, files, tmp_path / "out")
    files[7].write_text("b\n")
    for inputs, here in [
        (files, r"number-7\S+ \(txt, 0263829989b6\), number 8 of 9"),
        (files[:8], r"number-7\S+ \(txt, 0263829989b6\), number 8 of 8"),
        (files[:7], "7 in all"),
    ]:
        with pytest.raises(
            CorpusError, match=rf"input: \S+ \(txt, 87428fc52280\), number 8 of 9 there, \S*{here} here"
        ):
            prompteol.embed_corpus(static, inputs, tmp_path / "out")
    files[7].write_text("text\nb\n")
    prompteol.embed_corpus(static, files[7], tmp_path / "one")
    with pytest.raises(CorpusError, match=r"input: \S+ \(txt, (\w+)\) there, \S+ \(csv, \1\) here"):
        prompteol.embed_corpus(static, files[7], tmp_path / "one", format="csv")
    begin = "Very much to say. " * 40
    one, other = (
        PromptEOL(base, device="cpu", template=f'{begin}{end}: "{{text}}" means:"') for end in ("End", "Other")
    )
    prompteol.embed_corpus(one, files, tmp_path / "long")
    with pytest.raises(CorpusError, match=r"another template: \.\.\..*End.* there, \.\.\..*Other.* here") as error:
        prompteol.embed_corpus(other, files, tmp_path / "long")
    assert len(str(error.value)) < 700
