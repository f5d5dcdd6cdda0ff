"""The ten lines of the page on Spark, on a local Spark."""

import os
import shutil
import sys
from collections.abc import Iterator

import numpy as np
import pytest

pd = pytest.importorskip("pandas")

pytest.importorskip("pyspark", reason="needs Spark: pip install pyspark")
if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
    pytest.skip("Spark needs a Java runtime", allow_module_level=True)
pytestmark = pytest.mark.filterwarnings("default")


def test_a_pandas_udf_over_text_embedder(base, model, monkeypatch):
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    from pyspark.sql import SparkSession
    from pyspark.sql.functions import pandas_udf

    spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()

    @pandas_udf("array<float>")
    def embed(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:

        from prompteol import PromptEOL, TextEmbedder

        embedder = TextEmbedder(PromptEOL(base, device="cpu"), normalize=False)
        for texts in batches:
            yield pd.Series(embedder.embed(texts.tolist(), "document"))

    texts = [f"Text {number}." for number in range(20)]
    rows = spark.createDataFrame([(text,) for text in texts], ["text"]).select(embed("text").alias("embedding"))
    found = np.array([row["embedding"] for row in rows.collect()])
    spark.stop()

    np.testing.assert_allclose(found, model.encode_document(texts), atol=1e-5)
