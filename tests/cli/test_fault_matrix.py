"""Every command against every fault of its outputs: one line, the exit code of the table, and no half file."""

import os
import resource
import subprocess
import sys
import threading

import numpy as np
import pytest

from prompteol.cli import console
from prompteol.cli.app import app
from prompteol.errors import CorpusError
from prompteol.files import atomic_write
from prompteol.files.atomic import atomic_folder

# A model that needs no torch: only the command itself is started.
PROGRAM = """
import sys
import numpy as np
import prompteol.cli
from prompteol.cli.model_options import ModelOptions

class Word:
    text, probability = "word", 0.5

class Fake:
    def encode(self, texts, **options):
        return np.ones((len(texts), 32), np.float32)

    def words(self, texts, k, contrast):
        return [[Word()] * k for _ in texts]

    def similarity(self, left, right):
        return left @ right.T

    similarity_pairwise = similarity

    def get_embedding_dimension(self):
        return 32

ModelOptions.load = lambda *_: Fake()
prompteol.cli.main()
"""
TEXTS = ["similarity", *(f"Text {number}." for number in range(9))]
PRINTING = [
    ["encode", "a.txt", "-o", "-"],
    TEXTS,
    ["words", "A text."],
    ["--help"],
    ["--version"],
    ["encode", "--help"],
    ["tune"],
]


def started(tmp_path, arguments, redirection, **options):
    (tmp_path / "a.txt").write_text("A text of many.\n" * 300)
    command = ["bash", "-c", f'exec "$@" {redirection}', "bash", sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300, **options)


@pytest.mark.parametrize("arguments", PRINTING, ids=lambda one: " ".join(one[:2]))
@pytest.mark.parametrize(
    ("redirection", "message"),
    [("> /dev/full", "No space left on device"), (">&-", "it is closed")],
    ids=["full", "closed"],
)
def test_stdout_that_takes_nothing(tmp_path, arguments, redirection, message):
    done = started(tmp_path, arguments, redirection)

    assert done.returncode == 2, done.stderr
    assert done.stderr == f"error: standard output cannot be written: {message}\n"


@pytest.mark.parametrize("arguments", PRINTING[:3], ids=lambda one: one[0])
def test_a_reader_that_goes_away_is_told_by_the_exit_code_alone(tmp_path, arguments):
    read, write = os.pipe()
    os.close(read)
    (tmp_path / "a.txt").write_text("A text of many.\n" * 300)
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(command, cwd=tmp_path, stdout=write, stderr=subprocess.PIPE, check=False, timeout=300)
    os.close(write)

    assert (done.returncode, done.stderr) == (console.READER_GONE, b"")


@pytest.mark.parametrize("arguments", [["encode", "-", "-o", "-"], ["similarity", "-"], ["words", "-"]])
def test_stdin_that_is_closed(tmp_path, arguments):
    done = started(tmp_path, arguments, "<&-")

    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: standard input is closed")
    assert len(done.stderr.splitlines()) == 1


def test_no_output_takes_the_place_of_a_closed_stream(tmp_path):
    done = started(tmp_path, ["encode", "a.txt", "-o", "v.npy"], "<&- >&- 2>&-")

    assert done.returncode == 0
    assert np.load(tmp_path / "v.npy").shape == (300, 32)


@pytest.mark.parametrize("write", [lambda: console.show("a"), lambda: console.echo("a"), lambda: console.rows([["a"]])])
def test_whatever_prints_says_so_in_our_words(monkeypatch, write):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(CorpusError, match="standard output cannot be written: No space left"):
            write()


@pytest.fixture
def full_disk():
    """Let no file grow beyond 2 KB, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    "arguments",
    [
        ["create", "-m", "{base}", "-o", "out"],
        ["similarity", "A cat.", "A dog.", "A car.", "-m", "{base}", "--plot", "out.png"],
        ["encode", "-", "-o", "out.npy", "-m", "{base}"],
    ],
    ids=lambda one: one[0],
)
def test_a_full_disk_leaves_nothing(prompteol, base, tmp_path, monkeypatch, full_disk, arguments):
    monkeypatch.chdir(tmp_path)
    arguments = [argument.replace("{base}", base) for argument in arguments]

    result = prompteol(*arguments, input="A line.\n" * 200)

    assert result.exit_code == 2, result.output
    assert "was not written: " in result.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


# publishing


def test_of_two_that_write_one_file_neither_replaces_the_other(tmp_path):
    path, barrier, refused = tmp_path / "v.npy", threading.Barrier(8), []

    def write(number):
        try:
            with atomic_write(path, force=False) as partial:
                partial.write_text(str(number))
                barrier.wait()
        except CorpusError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # All that was computed is there, once under the name and else beside it.
    written = [file.read_text() for file in tmp_path.iterdir()]
    assert sorted(written) == [str(number) for number in range(8)]
    assert len(refused) == 7
    assert all("is not replaced; these results are in" in message for message in refused)
    assert not [file.name for file in tmp_path.iterdir() if file.name.startswith(".")]


def overtaken(path, *, force):
    """Write a file that somebody else writes before this is done."""
    with atomic_write(path, force=force) as partial:
        partial.write_text("mine")
        path.write_text("theirs")


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_came_meanwhile_stays(tmp_path, monkeypatch, links):
    if not links:

        def unsupported(*_):
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", unsupported)
    with atomic_write(tmp_path / "new", force=False) as partial:
        partial.write_text("new")
    with pytest.raises(CorpusError, match="is not replaced"):
        overtaken(tmp_path / "a.txt", force=False)
    overtaken(tmp_path / "b.txt", force=True)

    assert (tmp_path / "new").read_text() == "new"
    assert (tmp_path / "a.txt").read_text() == "theirs"
    assert [file.read_text() for file in tmp_path.glob("a.*.txt")] == ["mine"]
    assert (tmp_path / "b.txt").read_text() == "mine"


def test_a_folder_that_came_meanwhile_stays(tmp_path):
    out = tmp_path / "model"

    def overtaken():
        with atomic_folder(out, force=False) as partial:
            partial.mkdir()
            out.mkdir()
            (out / "theirs").touch()

    with pytest.raises(CorpusError, match="was made by somebody else"):
        overtaken()
    assert [file.name for file in tmp_path.rglob("*")] == ["model", "theirs"]
    out.joinpath("theirs").unlink()
    with atomic_folder(out, force=False) as partial:
        partial.mkdir()
        (partial / "mine").touch()
    assert [file.name for file in tmp_path.rglob("*")] == ["model", "mine"]


# stopping, and the order of complaints


@pytest.mark.parametrize(
    ("stop", "code", "word"), [(KeyboardInterrupt, 130, "interrupted"), (console.Terminated, 143, "terminated")]
)
def test_stopped_tuning_says_where_its_results_are(prompteol, base, tmp_path, monkeypatch, stop, code, word):
    def stopped(*_, **__):
        raise stop

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("prompteol.tuning.tune_prompt", stopped)
    (tmp_path / "dev.tsv").write_text("left\tright\n" + "".join(f"A {n}.\tB {n}.\n" for n in range(9)))

    result = prompteol("tune", "-m", base, "--pairs", "dev.tsv")

    assert result.exit_code == code
    assert result.stderr == f"error: {word}; what is done is in dev.tuning.jsonl: the same command goes on from it\n"


@pytest.mark.parametrize(
    ("command", "left"),
    [
        (["search", "Who sings?", "a.txt"], "shards that are whole stay in the cache: the same command"),
        (["encode", "a.txt", "-o", "out/"], "shards that are whole stay in out/: the same command"),
        (["encode", "a.txt", "-o", "out/", "--no-resume"], "stay in out/: the same command without --no-resume"),
    ],
)
def test_stopped_embedding_says_that_its_shards_serve_the_same_command(
    prompteol, base, tmp_path, monkeypatch, command, left
):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROMPTEOL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("prompteol.corpus.embed.embed_share", stopped)
    (tmp_path / "a.txt").write_text("A man sings.\n")

    result = prompteol(*command, "-m", base)

    assert result.exit_code == 130
    assert result.stderr.count("\n") == 1
    assert f"{left} goes on from them" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["encode", "a.csv", "-o", "old", "-c", "nothing"], "no column 'nothing'"),
        (["encode", "a.csv", "-o", "old", "--layer", "deep"], "--layer 'deep'"),
        (["encode", "a.csv", "-o", "old", "-m", "./nowhere"], "no such folder"),
        (["create", "-m", "./nowhere", "-o", "folder"], "no such folder"),
        (["merge", "-m", "./nowhere", "-o", "folder"], "no such folder"),
        (["similarity", "a", "b", "--plot", "old.png", "-m", "./nowhere"], "no such folder"),
        (["tune", "-m", "./nowhere", "--pairs", "nothing.tsv", "-o", "folder"], "no such file"),
        (["evaluate", "-m", "./nowhere", "--senteval", "nothing", "-o", "old"], "'nothing' is no folder"),
        (["benchmark", "-m", "./nowhere", "-o", "old"], "no such folder"),
        (["plot", "nothing.json", "-o", "old.png"], "nothing.json"),
        (["reproduce", "sts", "-o", "results", "--senteval", "nothing", "--yes"], "'nothing' is no folder"),
        (["train", "-m", "./nowhere", "--data", "nothing.csv", "-o", "out", "--plot", "old.png"], "no such file"),
    ],
    ids=lambda one: one[0] if isinstance(one, list) else "",
)
def test_the_real_mistake_is_named_before_the_output(prompteol, tmp_path, monkeypatch, arguments, message):
    if arguments[0] in ("merge", "train"):
        pytest.importorskip("peft")
    monkeypatch.chdir(tmp_path)
    for folder in ("folder", "results"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "thesis.tex").touch()
    (tmp_path / "results" / "comparison.md").touch()
    (tmp_path / "a.csv").write_text("text\nA text.\n")
    for name in ("old", "old.png"):
        (tmp_path / name).touch()

    result = prompteol(*arguments)

    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_no_help_shows_a_type_for_a_flag_or_dots_twice(prompteol):
    for command in ([], *([command.callback.__name__] for command in app.registered_commands)):
        shown = prompteol(*command, "--help").stdout
        assert "<bool>" not in shown
        assert "...}" not in shown
        assert "...]..." not in shown
