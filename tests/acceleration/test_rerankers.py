"""An accelerated reranker gives the scores it gave before; a query is computed once for its documents."""

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder

import prompteol
from acceleration.conftest import assert_same, build_embedder, build_reranker, engines

QUERIES = ["Who is the president?", "where do two dogs run in the winter?"]
DOCUMENTS = [("the dog runs in the snow " * times).strip() for times in (1, 2, 5, 3, 9, 4, 2, 7)]
PAIRS = [(query, document) for query in QUERIES for document in DOCUMENTS]


@pytest.mark.parametrize("task", ["text-generation", "sequence-classification"])
@pytest.mark.parametrize("name", ["qwen3", "gemma2", "mistral"])
def test_scores(name, task, no_warning):
    # Windows through which the last token sees the document, behind the template's end.
    model = build_reranker(name, task, **{"sliding_window": 24} if name == "mistral" else {})
    stock = model.predict(PAIRS, activation_fn=torch.nn.Identity())
    assert np.ptp(stock) > 1e-3
    ours = prompteol.accelerate(model).predict(PAIRS, activation_fn=torch.nn.Identity())
    assert_same(ours, stock)


def test_a_query_is_computed_once_for_its_documents(reranker):
    prompteol.accelerate(reranker).predict(PAIRS)
    (engine,) = engines(reranker)
    features = reranker.preprocess(PAIRS)
    assert engine.counters.prefix_tokens
    assert engine.counters.checks == 1, "queries of like length are compared once"
    assert engine.counters.text_tokens < int(features["attention_mask"].sum()) / 2


def test_rank(reranker):
    stock = reranker.rank(QUERIES[0], DOCUMENTS, return_documents=True)
    ours = prompteol.accelerate(reranker).rank(QUERIES[0], DOCUMENTS, return_documents=True)
    assert [hit["text"] for hit in ours] == [hit["text"] for hit in stock]
    assert_same(np.array([hit["score"] for hit in ours]), np.array([hit["score"] for hit in stock]))


def test_one_pair_and_no_pair(reranker):
    stock = reranker.predict(PAIRS[0])
    prompteol.accelerate(reranker)
    assert reranker.predict(PAIRS[0]) == stock
    assert reranker.predict([PAIRS[0]]) == stock
    assert len(reranker.predict([])) == 0


def test_a_reranker_saves_and_restores(reranker, tmp_path):
    stock = reranker.predict(PAIRS)
    prompteol.accelerate(reranker).save_pretrained(str(tmp_path))
    np.testing.assert_allclose(CrossEncoder(str(tmp_path), device="cpu").predict(PAIRS), stock, atol=1e-6)
    np.testing.assert_array_equal(prompteol.restore(reranker).predict(PAIRS), stock)


def test_logits_are_the_architectures_own():
    """Soft-capped ones, which a product with the LM head alone would not give."""
    model = build_reranker("gemma2")
    prompteol.accelerate(model).predict(PAIRS)
    (engine,) = engines(model)
    before = engine.counters.text_tokens
    with torch.inference_mode():
        features = model[0](model.preprocess(PAIRS[:2]), packed=32)
    assert engine.counters.text_tokens > before, "these are packed"
    assert features["causal_logits"].shape[1] == 1
    assert float(features["causal_logits"].abs().max()) <= 3.0


def test_a_cross_encoder_of_other_modules_is_refused(reranker):
    embedder = build_embedder()
    with pytest.raises(prompteol.errors.ModelError, match="'feature-extraction' with Pooling behind the Transformer"):
        prompteol.accelerate(CrossEncoder(modules=[embedder[0], embedder[1]], device="cpu"))
