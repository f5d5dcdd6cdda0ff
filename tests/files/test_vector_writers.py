"""What a writer wrote reads back as the same float32 numbers, and a failed write leaves nothing behind."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from prompteol.errors import CorpusError
from prompteol.files import atomic_write, refuse_overwrite, vector_writer, writer_format

TEXTS = ['a "quoted" text', "über\n\u2028", "", "x", "y"]
VECTORS = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)


def write(path):
    with path.open("xb") as file, vector_writer(file, writer_format(path)) as writer:
        writer.write(TEXTS[:2], VECTORS[:2])
        writer.write(TEXTS[2:], VECTORS[2:])


def test_npy_grows_chunk_by_chunk_into_one_array(tmp_path):
    write(tmp_path / "a.npy")

    array = np.load(tmp_path / "a.npy", allow_pickle=False)

    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, VECTORS)


def test_parquet_keeps_texts_beside_their_vectors(tmp_path):
    write(tmp_path / "a.parquet")

    table = pq.read_table(tmp_path / "a.parquet")

    assert table.column("text").to_pylist() == TEXTS
    np.testing.assert_array_equal(np.array(table.column("embedding").to_pylist(), np.float32), VECTORS)


def test_json_lines_hold_every_bit_of_a_float32(tmp_path):
    write(tmp_path / "a.jsonl")

    records = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text("utf-8").split("\n")[:-1]]

    assert [record["text"] for record in records] == TEXTS
    np.testing.assert_array_equal(np.array([record["embedding"] for record in records], np.float32), VECTORS)


@pytest.mark.parametrize("name", ["a.npy", "a.parquet", "a.jsonl"])
@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_a_block_that_fails_leaves_an_old_file_as_it_was_and_no_other(tmp_path, name, failure):
    path = tmp_path / name
    path.write_text("old")

    def fail_half_way():
        with (
            atomic_write(path) as partial,
            partial.open("xb") as file,
            vector_writer(file, writer_format(path)) as writer,
        ):
            writer.write(TEXTS, VECTORS)
            raise failure

    with pytest.raises(failure):
        fail_half_way()

    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    assert path.read_text() == "old"


def test_an_output_that_cannot_be_is_refused_before_any_work(tmp_path):
    (tmp_path / "old.npy").touch()

    with pytest.raises(CorpusError, match=r"exists already; add --force"):
        refuse_overwrite(tmp_path / "old.npy", force=False)
    with pytest.raises(CorpusError, match="does not exist; make it first"):
        refuse_overwrite(tmp_path / "nowhere" / "new.npy", force=True)
    with pytest.raises(CorpusError, match="is a folder"):
        refuse_overwrite(tmp_path, force=True)
    with pytest.raises(CorpusError, match=r"ends in \.npy, \.parquet or \.jsonl"):
        writer_format(tmp_path / "new.pkl")
    refuse_overwrite(tmp_path / "old.npy", force=True)
    refuse_overwrite(tmp_path / "new.npy", force=False)
