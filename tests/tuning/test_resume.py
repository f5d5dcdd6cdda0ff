"""Stopped wherever it may be, and resumed, a search ends in the same table, and runs nothing twice."""

import gc
import json
import os
import random
import subprocess
import sys
import warnings

import pytest

from prompteol.data import ScoredPairs
from prompteol.errors import CorpusError, TuningError
from prompteol.tuning.evaluator import Evaluator
from prompteol.tuning.results_log import ResultsLog

KILLS = int(os.environ.get("PROMPTEOL_TEST_KILLS", "2"))


class StopError(Exception):
    """In place of a kill."""


@pytest.fixture
def judged(monkeypatch):
    """What the model was asked, in order."""
    asked = []
    real = Evaluator.score

    def score(self, template, start, stop):
        asked.append((template, start, stop))
        return real(self, template, start, stop)

    monkeypatch.setattr(Evaluator, "score", score)
    return asked


def test_stopped_after_every_piece_and_in_the_middle_of_every_line(model, pairs, shots, tmp_path, judged, tune):
    pairs = ScoredPairs(pairs.first[:64], pairs.second[:64], pairs.scores[:64])
    whole = tune(model, pairs, shots[:2], results=tmp_path / "whole.jsonl")
    pieces = len(judged)
    lines = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    assert len(lines) == 1 + pieces
    draw = random.Random(0)
    for number in range(len(lines)):
        cut = tmp_path / "cut.jsonl"
        torn = lines[number][: draw.randrange(len(lines[number]))]
        cut.write_bytes(b"".join(lines[:number]) + torn)
        judged.clear()
        again = tune(model, pairs, shots[:2], results=cut)
        assert len(judged) == pieces - max(0, number - 1)
        assert again.rows() == whole.rows()
        assert again.provenance == whole.provenance
        assert cut.read_bytes() == (tmp_path / "whole.jsonl").read_bytes() or number > 1


def test_an_error_in_the_middle_loses_nothing(model, pairs, shots, tmp_path, judged, tune):
    def watch(progress):
        if progress.round == 2:
            raise StopError

    with pytest.raises(StopError):
        tune(model, pairs, shots, results=tmp_path / "r.jsonl", watch=watch)
    tune(model, pairs, shots, results=tmp_path / "r.jsonl")
    assert len(judged) == len(set(judged))


def test_what_is_known_serves_others_and_an_exhaustive_search(model, pairs, shots, tmp_path, judged, tune):
    tune(model, pairs, shots[:5], results=tmp_path / "r.jsonl")
    tune(model, pairs, shots[:8], results=tmp_path / "r.jsonl", exhaustive=True)
    assert len(judged) == len(set(judged))


def test_what_other_searches_computed_is_not_counted(model, pairs, shots, tmp_path, tune):
    alone = tune(model, pairs, shots[:3], templates=["pretended-cot"])
    tune(model, pairs, shots[3:], results=tmp_path / "r.jsonl")
    for _ in range(2):
        options = {"templates": ["pretended-cot"], "results": tmp_path / "r.jsonl"}
        assert tune(model, pairs, shots[:3], **options).tokens == alone.tokens


def test_another_searchs_results_are_refused(model, pairs, shots, tmp_path, tune):
    path = tmp_path / "r.jsonl"
    tune(model, pairs, shots[:2], results=path)
    before = path.read_bytes()
    for wrong in ({"seed": 1}, {"layers": [-1]}):
        with pytest.raises(TuningError, match="belong to another run"):
            tune(model, pairs, shots[:2], results=path, **wrong)
    assert path.read_bytes() == before
    for text in ('{"sentence": "A dog."}\n', "My diary, without a newline", "[1]\n"):
        path.write_text(text)
        with pytest.raises(TuningError, match="not the results of tuning"):
            tune(model, pairs, shots[:2], results=path)
        assert path.read_text() == text
    path.write_bytes(before + b'{"prompt": "x"}\n')
    with pytest.raises(TuningError, match=f"line {len(before.splitlines()) + 1}"):
        tune(model, pairs, shots[:2], results=path)


# Imports once, then starts and kills processes of the command, each a fork.
KILLER = """
import os, random, signal, sys, time
from pathlib import Path
import torch, prompteol.tuning, prompteol.sentence_transformers
import prompteol.cli

torch.set_num_threads(1)
arguments, kills, draw = sys.argv[2:], int(sys.argv[1]), random.Random(1)


def lines(results):
    return results.read_bytes().count(b"\\n") if results.exists() else 0


def start(results, table):
    child = os.fork()
    if child:
        return child
    os.dup2(os.open(table, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    sys.argv = ["prompteol", "tune", *arguments, "--results", str(results)]
    try:
        prompteol.cli.main()
    except SystemExit as done:
        sys.stdout.flush()
        os._exit(done.code or 0)


def finish(results, table):
    _, status = os.waitpid(start(results, table), 0)
    assert status == 0, status
    return table.read_bytes()


whole = Path("whole.jsonl")
expected = finish(whole, Path("whole.tsv"))
killed = 0
for number in range(kills):
    results, table = Path(f"{number}.jsonl"), Path(f"{number}.tsv")
    child, enough = start(results, table), draw.randrange(1, lines(whole))
    while lines(results) < enough:
        time.sleep(0.001)
    time.sleep(draw.random() / 50)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    killed += os.WIFSIGNALED(status)
    assert finish(results, table) == expected, number
print(killed, expected.count(b"\\n"))
"""


def test_killed_outright_the_command_goes_on_to_the_same_table(tiny, pairs, shots, tmp_path):
    rows = zip(pairs.first, pairs.second, pairs.scores, strict=True)
    table = "".join(f"{one}\t{other}\t{score}\n" for one, other, score in rows)
    (tmp_path / "dev.tsv").write_text("sentence1\tsentence2\tscore\n" + table)
    lines = (json.dumps({"sentence": shot.sentence, "word": shot.word}) + "\n" for shot in shots)
    (tmp_path / "set.jsonl").write_text("".join(lines))
    options = ["-m", tiny("llama", layers=2), "--device", "cpu", "--pairs", "dev.tsv", "-d", "set.jsonl"]
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(KILLS), *options], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    killed, rows_written = map(int, done.stdout.split())
    assert killed > KILLS / 2
    assert rows_written > 2 + len(shots)  # under techniques, too


def test_results_that_cannot_be_written_are_closed(model, pairs, shots, tmp_path, monkeypatch, tune):
    with pytest.raises(CorpusError, match="/dev/full' is no file"):
        tune(model, pairs, shots[:2], results="/dev/full")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(CorpusError, match="were not written: No space left on device"):
            tune(model, pairs, shots[:2], results=tmp_path / "a.jsonl")
        gc.collect()


def test_two_searches_do_not_write_over_each_other(tmp_path):
    results = tmp_path / "results.jsonl"
    first = ResultsLog(results, {"layers": [-1]})
    with pytest.raises(CorpusError, match=r"another process tunes into '.*results\.jsonl': wait for it"):
        ResultsLog(results, {"layers": [-1]})
    first.close()
    ResultsLog(results, {"layers": [-1]}).close()
    assert list(tmp_path.iterdir()) == [results]
