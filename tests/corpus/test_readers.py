"""What reads a corpus without this package, as the page on corpora shows it."""

import json

import numpy as np
import pytest

import prompteol


@pytest.fixture(scope="module")
def out(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("readers")
    rows = [{"id": number, "text": f"Text {number}."} for number in range(60)]
    prompteol.embed_corpus(model, rows, folder / "out", keep=["id", "text"], shard_rows=25)
    prompteol.embed_corpus(model, rows, folder / "npy", keep=["id", "text"], shard_rows=25, output_format="npy")
    return folder


@pytest.fixture(scope="module")
def expected(out):
    return prompteol.open_corpus(out / "out").vectors[:]


def test_pyarrow(out, expected):
    import pyarrow.dataset as ds

    table = ds.dataset(sorted(map(str, out.glob("out/*.parquet")))).to_table()
    vectors = table["embedding"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
    assert np.array_equal(vectors, expected)
    assert table["id"].to_pylist() == list(range(60))


def test_pandas(out, expected):
    pd = pytest.importorskip("pandas")
    frame = pd.concat(map(pd.read_parquet, sorted(out.glob("out/*.parquet"))))
    assert np.array_equal(np.stack(frame["embedding"]), expected)


def test_polars(out, expected):
    pl = pytest.importorskip("polars")
    frame = pl.read_parquet(out / "out" / "*.parquet")
    assert np.array_equal(frame["embedding"].to_numpy(), expected)


def test_duckdb(out, expected):
    duckdb = pytest.importorskip("duckdb")
    query = f"SELECT id, embedding FROM '{out}/out/*.parquet' ORDER BY row"
    rows = duckdb.sql(query).fetchall()
    assert np.array_equal(np.array([vector for _, vector in rows], dtype=np.float32), expected)


def test_datasets(out, expected, tmp_path):
    datasets = pytest.importorskip("datasets")
    data = datasets.load_dataset(
        "parquet", data_files=str(out / "out" / "*.parquet"), split="train", cache_dir=str(tmp_path)
    )
    assert np.array_equal(data.with_format("numpy")["embedding"][:], expected)


def test_faiss(out, expected):
    faiss = pytest.importorskip("faiss")
    corpus = prompteol.open_corpus(out / "out")
    index = faiss.IndexFlatIP(corpus.vectors.shape[1])
    for _, block in corpus.vectors.blocks(10_000):
        index.add(block)
    assert index.ntotal == 60
    assert index.search(expected[:1], 60)[1].shape == (1, 60)


def test_lancedb(out, tmp_path):
    lancedb = pytest.importorskip("lancedb")
    import pyarrow.dataset as ds

    data = ds.dataset(sorted(map(str, out.glob("out/*.parquet")))).to_table()
    table = lancedb.connect(str(tmp_path)).create_table("corpus", data=data)
    assert table.count_rows() == 60


def test_qdrant(out, expected):
    qdrant_client = pytest.importorskip("qdrant_client")
    from qdrant_client.models import Distance, VectorParams

    corpus = prompteol.open_corpus(out / "out")
    client = qdrant_client.QdrantClient(":memory:")
    client.create_collection("corpus", VectorParams(size=corpus.vectors.shape[1], distance=Distance.COSINE))
    payload = [{"text": text} for text in corpus.column("text")]
    client.upload_collection("corpus", vectors=corpus.vectors[:], ids=corpus.ids, payload=payload)
    assert client.count("corpus").count == 60
    assert client.query_points("corpus", query=expected[7].tolist(), limit=1).points[0].payload == payload[7]


def test_numpy_memory_map(out, expected):
    vectors = [np.load(path, mmap_mode="r") for path in sorted(out.glob("npy/*.npy"))]
    lines = (line for path in sorted(out.glob("npy/*.ids.jsonl")) for line in path.read_text().splitlines())
    ids = [json.loads(line)["id"] for line in lines]
    assert np.array_equal(np.concatenate(vectors), expected)
    assert ids == list(range(60))
