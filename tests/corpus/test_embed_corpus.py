"""``embed_corpus`` writes what ``encode`` returns, in shards that anything can read."""

import gzip
import io
import json
import lzma
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import prompteol
from prompteol.errors import CorpusError, SettingError


def close(actual, expected):
    np.testing.assert_allclose(np.asarray(actual), expected, atol=1e-5 * np.abs(expected).max(), rtol=0)


@pytest.mark.parametrize("output_format", ["parquet", "npy"])
def test_vectors_ids_and_columns_come_back_in_order(model, corpus_file, texts, tmp_path, output_format):
    corpus = prompteol.embed_corpus(
        model, corpus_file, tmp_path / "out", keep=["id", "n", "text"], shard_rows=50, output_format=output_format
    )
    expected = model.encode(texts)

    assert len(corpus) == 130
    assert corpus.vectors.shape == (130, 32)
    close(corpus.vectors, expected)
    close(corpus.vectors[-1], expected[-1])
    close(corpus.vectors[[120, 3, 3]], expected[[120, 3, 3]])
    close(corpus.vectors[40:60:3, :4], expected[40:60:3, :4])
    assert corpus.ids == [f"doc-{number}" for number in range(130)]
    assert corpus.rows([129, 0]) == [
        {"row": 129, "id": "doc-129", "n": 129, "text": texts[129]},
        {"row": 0, "id": "doc-0", "n": 0, "text": texts[0]},
    ]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["model"]["fingerprint"] == model.fingerprint()
    assert [shard["rows"] for shard in manifest["shards"]] == [50, 50, 30]
    assert manifest["keep"] == {"id": "string", "n": "int64", "text": "string"}
    assert (manifest["rows"], manifest["errors"], manifest["rows_read"]) == (130, 0, 130)
    assert manifest["sources"][0]["bytes"] == corpus_file.stat().st_size


def test_a_parquet_shard_has_a_fixed_size_list_column(model, corpus_file, tmp_path):
    prompteol.embed_corpus(model, corpus_file, tmp_path / "out", shard_rows=50)
    schema = pq.read_schema(tmp_path / "out" / "shard-000000.parquet")

    assert schema.names == ["row", "embedding"]
    assert pa.types.is_fixed_size_list(schema.field("embedding").type)
    assert schema.field("embedding").type.list_size == 32


def test_every_form_of_input_gives_the_same_vectors(model, tmp_path, texts, monkeypatch):
    folder = tmp_path / "in"
    folder.mkdir()
    parts = [texts[start : start + 20] for start in range(0, 120, 20)]
    lines = ["".join(f"{text}\n" for text in part) for part in parts]
    (folder / "a.txt").write_text(lines[0].replace("\n", "\r\n"), newline="")
    (folder / "b.txt.gz").write_bytes(gzip.compress(lines[1].encode()))
    (folder / "c.jsonl.xz").write_bytes(
        lzma.compress("".join(json.dumps({"text": text}) + "\n" for text in parts[2]).encode())
    )
    with pa.CompressedOutputStream(str(folder / "d.csv.zst"), "zstd") as file:
        file.write(("id,text\n" + "".join(f'1,"{text}"\n' for text in parts[3])).encode())
    pq.write_table(pa.table({"id": range(20), "text": parts[4]}), folder / "e.parquet")
    (folder / "f.tsv").write_text("text\tlabel\n" + "".join(f"{text}\tx\n" for text in parts[5]), encoding="utf-16")
    expected = model.encode(texts[:120])

    close(prompteol.embed_corpus(model, folder, tmp_path / "1").vectors, expected)
    close(prompteol.embed_corpus(model, str(folder / "*"), tmp_path / "2", shard_rows=33).vectors, expected)
    rows = ({"text": text} for text in texts[:120])
    close(prompteol.embed_corpus(model, rows, tmp_path / "3", shard_rows=33).vectors, expected)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO("".join(lines).encode()))))
    close(prompteol.embed_corpus(model, "-", tmp_path / "4").vectors, expected)


def test_a_url_of_fsspec_is_read_and_written(model, corpus_file, texts):
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").pipe_file("/in/corpus.jsonl", corpus_file.read_bytes())

    corpus = prompteol.embed_corpus(model, "memory://in/*.jsonl", "memory://out", keep=["id"], shard_rows=50)
    again = prompteol.embed_corpus(model, "memory://in/*.jsonl", "memory://out", keep=["id"], shard_rows=50)

    close(corpus.vectors, model.encode(texts))
    assert again.ids[:2] == ["doc-0", "doc-1"]


def test_a_data_set_of_the_hub_is_streamed(model, corpus_file, texts, tmp_path, monkeypatch):
    pytest.importorskip("datasets")
    # Offline, a folder of its name stands for the data set.
    folder = tmp_path / "owner" / "name"
    folder.mkdir(parents=True)
    (folder / "some.jsonl").write_bytes(corpus_file.read_bytes())
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: small\n  data_files:\n  - split: held\n    path: some.jsonl\n---\n"
    )
    monkeypatch.chdir(tmp_path)

    for _ in range(2):  # the second time, what is read is compared with what is there
        corpus = prompteol.embed_corpus(model, "owner/name:small@held", "out", keep=["id"], shard_rows=50)
        close(corpus.vectors, model.encode(texts))
        assert corpus.ids[-1] == "doc-129"
    with pytest.raises(CorpusError, match="a data set of that name on the Hub cannot be read"):
        prompteol.embed_corpus(model, "owner/name:small@train", "other")


@pytest.mark.parametrize("output_format", ["parquet", "npy"])
def test_precisions_agree_over_shards(model, corpus_file, texts, tmp_path, output_format):
    expected = model.encode(texts, normalize_embeddings=True, truncate_dim=12)

    def embedded(precision):
        return prompteol.embed_corpus(
            model, corpus_file, tmp_path / precision, precision=precision, normalize=True, truncate_dim=12,
            shard_rows=50, output_format=output_format,
        )  # fmt: skip

    half, bytes_, bits = map(embedded, ("float16", "int8", "ubinary"))

    assert [corpus.vectors.dtype for corpus in (half, bytes_, bits)] == [np.float16, np.int8, np.uint8]
    np.testing.assert_allclose(half.vectors[:], expected, atol=1e-3)
    assert bits.vectors.shape == (130, 2)
    assert np.array_equal(bits.vectors[:], np.packbits(expected > 0, axis=1))
    restored = np.concatenate([block for _, block in bytes_.restored()])
    low, high = np.array(bytes_.manifest["int8_ranges"])
    assert (np.abs(restored - expected) <= (high - low) / 255 * 0.51 + 1e-6).all()


def test_int8_never_wraps_around_beyond_the_ranges_of_the_sample(model, tmp_path, monkeypatch):
    monkeypatch.setattr("prompteol.corpus.planning._SAMPLE_ROWS", 2)
    texts = ["One text.", "Another text.", "Что-то совсем другое 1234567890", "x", "zzz zzz zzz"]
    corpus = prompteol.embed_corpus(model, [{"text": text} for text in texts], tmp_path / "out", precision="int8")
    low, high = np.array(corpus.manifest["int8_ranges"])
    vectors = model.encode(texts)

    assert (corpus.vectors[:][vectors >= high + 1e-4] >= 126).all()
    assert (corpus.vectors[:][vectors <= low - 1e-4] == -128).all()


def test_any_sentence_transformer_will_do(static, corpus_file, tmp_path):
    corpus = prompteol.embed_corpus(static, corpus_file, tmp_path / "out")

    assert corpus.vectors.shape == (130, 8)


def test_workers_write_the_same_bytes(base, corpus_file, tmp_path, digest):
    options = {"keep": ["id"], "shard_rows": 20, "precision": "int8"}
    prompteol.embed_corpus(base, corpus_file, tmp_path / "one", **options, device="cpu")
    prompteol.embed_corpus(base, corpus_file, tmp_path / "two", **options, device="cpu", workers=2)

    assert digest(tmp_path / "one") == digest(tmp_path / "two")


def test_progress_counts_rows_and_tokens(model, corpus_file, tmp_path):
    told = []
    prompteol.embed_corpus(model, corpus_file, tmp_path / "out", shard_rows=50, progress=told.append)
    last = told[-1]

    assert (last.rows, last.total, last.shards, last.errors) == (130, 130, 3, 0)
    assert last.tokens > 130 * 8
    assert last.metrics()["rows_per_second"] > 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"precision": "int4"}, "precision 'int4' is none of"),
        ({"shard_rows": 0}, "shard_rows=0 is no number of rows"),
        ({"output_format": "csv"}, "output_format 'csv' is none of"),
        ({"truncate_dim": 64}, "truncate_dim=64, but the model has 32"),
        ({"on_error": "ignore"}, "on_error 'ignore' is none of"),
        ({"keep": ["embedding"]}, "keep='embedding'"),
        ({"column": "body"}, "no column 'body'; its columns: 'id', 'n', 'text'"),
        ({"format": "xml"}, "format 'xml' is none of"),
    ],
)
def test_what_cannot_be_is_named(model, corpus_file, tmp_path, options, said):
    with pytest.raises((SettingError, CorpusError), match=said):
        prompteol.embed_corpus(model, corpus_file, tmp_path / "out", **options)


def test_an_input_that_is_not_there(model, tmp_path):
    with pytest.raises(CorpusError, match="no such file"):
        prompteol.embed_corpus(model, "nowhere.txt", tmp_path / "out")
    with pytest.raises(CorpusError, match="holds no manifest"):
        prompteol.open_corpus(tmp_path)
