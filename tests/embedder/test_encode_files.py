"""``encode_files`` does in Python what ``prompteol encode`` does on the command line."""

import io
import json

import numpy as np
import pytest

from prompteol import PromptEOL, encode_files
from prompteol.errors import CorpusError
from prompteol.files import TextFiles


@pytest.fixture(scope="module")
def model(tiny):
    return PromptEOL(tiny("llama"), device="cpu")


def test_files_become_rows_and_a_summary(model, tmp_path):
    (tmp_path / "a.txt").write_text("A man sings.\nTwo dogs run.\n")
    (tmp_path / "b.csv").write_text("id,text\n1,A cat sat.\n")
    steps = []

    def progress(label, total, unit="texts"):
        from contextlib import nullcontext

        steps.append((label, total, unit))
        return nullcontext(steps.append)

    done = encode_files(model, [tmp_path / "a.txt", tmp_path / "b.csv"], tmp_path / "v.npy", progress=progress)

    assert (done.rows, done.dimension) == (3, 32)
    assert steps[0] == ("encoding", 3, "texts")
    assert sum(steps[1:]) == 3
    expected = model.encode(["A man sings.", "Two dogs run.", "A cat sat."])
    np.testing.assert_allclose(np.load(tmp_path / "v.npy"), expected, atol=1e-5 * np.abs(expected).max())
    with pytest.raises(CorpusError, match="exists already"):
        encode_files(model, tmp_path / "a.txt", tmp_path / "v.npy")
    assert encode_files(model, tmp_path / "a.txt", tmp_path / "v.npy", force=True).rows == 2


def test_files_that_were_read_once_and_an_open_output(model, tmp_path):
    (tmp_path / "a.tsv").write_text("name\ttitle\nx\tA man sings.\n")
    files = TextFiles.open([tmp_path / "a.tsv"], column="title")
    assert files.total == 1
    output = io.BytesIO()
    encode_files(model, files, output, normalize_embeddings=True)
    record = json.loads(output.getvalue())
    assert record["text"] == "A man sings."
    assert np.linalg.norm(record["embedding"]) == pytest.approx(1, abs=1e-5)
