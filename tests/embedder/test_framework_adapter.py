"""An adapter of another framework needs ten lines over the public API."""

import numpy as np
import pytest

from prompteol import PromptEOL, TextEmbedder, errors


class FrameworkEmbeddings:
    def __init__(self, model, **options):
        self.embedder = TextEmbedder(PromptEOL(model, device="cpu"), **options)

    def embed_documents(self, texts):
        return self.embedder.embed(texts, "document")

    def embed_query(self, text):
        return self.embedder.embed([text], "query")[0]


def test_an_adapter_in_ten_lines(tiny, tmp_path):
    adapter = FrameworkEmbeddings(tiny("llama"), prompts={"query": "Q: "})
    (document,), query = adapter.embed_documents(["A horse."]), adapter.embed_query("A horse.")
    assert np.linalg.norm([document, query], axis=1) == pytest.approx(1, abs=1e-5)
    assert not np.allclose(document, query, atol=1e-4)
    adapter.embedder.for_index(tmp_path / "index")
    (tmp_path / "index" / "data").write_text("vectors")
    with pytest.raises(errors.IndexMismatchError):
        FrameworkEmbeddings(tiny("llama"), truncate_dim=8).embedder.for_index(tmp_path / "index")
