"""Every example of the page on corpora runs, beside the files that it names; each stands alone."""

import csv
import json
import os
import shutil
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import prompteol
from page_blocks import ROOT, blocks, imported, skip_unless_installed
from prompteol import PromptEOL
from prompteol.testing import tiny_model

SOURCES = blocks((ROOT / "docs" / "corpus.md").read_text(encoding="utf-8"))
ROWS = [{"id": number, "text": f"Text {number}."} for number in range(60)]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Return a folder with all that the page names, and go there: processes of Ray and Spark start where they are."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "parts").mkdir()
    (folder / "texts").mkdir()
    model = PromptEOL(tiny_model(folder / "facebook" / "opt-1.3b", "opt"), device="cpu")
    (folder / "a.jsonl").write_text("".join(json.dumps({**row, "id": str(row["id"])}) + "\n" for row in ROWS))
    with (folder / "parts" / "b.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "text"), ("b", "One more text.")])
    pq.write_table(pa.Table.from_pylist(ROWS), folder / "texts" / "0.parquet")
    prompteol.embed_corpus(model, ROWS, folder / "OUT", keep=["id", "text"], shard_rows=25)
    prompteol.embed_corpus(model, ROWS, folder / "NPY", keep=["id"], shard_rows=25, output_format="npy")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        yield folder


@pytest.fixture
def engine(request, page):
    """Start a small Ray with pretended GPUs, or see that Spark can start, for an example that needs them."""
    names = imported(request.param)
    skip_unless_installed(request.param)
    if "datasets" in names:
        import datasets

        request.getfixturevalue("monkeypatch").setattr(datasets.config, "HF_DATASETS_CACHE", page / "datasets")
    if "pyspark.sql" in names and shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("Spark needs a Java runtime")
    if "ray.data" in names:
        import ray

        ray.init(num_cpus=4, num_gpus=2, include_dashboard=False, logging_level="ERROR")
    yield request.param
    if "ray.data" in names:
        ray.shutdown()
    if "pyspark.sql" in names:
        from pyspark.sql import SparkSession

        if session := SparkSession.getActiveSession():
            session.stop()
    shutil.rmtree(page / "embedded", ignore_errors=True)


def embeddings(found, folder):
    """Return the vectors that an example came to, in the order of the texts."""
    if "rows" in found:
        return [vector for _, vector in found["rows"]]
    if "matrices" in found:
        return np.concatenate(found["matrices"])
    if "index" in found:
        return found["index"].reconstruct_n(0, found["index"].ntotal)
    if "client" in found:
        points = found["client"].retrieve("corpus", range(60), with_vectors=True)
        assert [point.payload["text"] for point in points] == [row["text"] for row in ROWS]
        return [point.vector for point in points]
    if "vectors" in found:
        return found["vectors"]
    written = found["table"].to_arrow() if "table" in found else pq.read_table(folder / "embedded").sort_by("id")
    return written["embedding"].to_pylist()


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("engine", SOURCES, ids=[imported(source)[-1] for source in SOURCES], indirect=True)
def test_an_example(engine, page):
    found = {"__name__": "page"}
    exec(compile(engine, "docs/corpus.md", "exec", dont_inherit=True), found)

    if "hits" in found:
        assert (len(found["corpus"]), len(found["hits"])) == (61, 5)
        return
    expected = prompteol.open_corpus(page / "OUT").vectors[:]
    actual = np.array(embeddings(found, page), dtype=np.float32)
    if "client" in found or "embed" in found:  # Qdrant and TextEmbedder normalize
        expected = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(actual, expected, atol=1e-6 * np.abs(expected).max())
