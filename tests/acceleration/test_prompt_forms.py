"""Embedders with the prompts that their model cards ask for give the vectors of stock: instruction, text, EOS."""

import pytest
from sentence_transformers.base.modules import Dense, Normalize

import prompteol
from acceleration.conftest import TEXTS, assert_same, build_embedder, engines, packed_tokens

TASK = "Given a web search query, retrieve relevant passages that answer the query"
# The shape, the queries' prompt, the documents', the side of padding, the pooling.
FORMS = {
    "Qwen3-Embedding": ("qwen3", f"Instruct: {TASK}\nQuery:", "", "left", "lasttoken"),
    "E5-Mistral": ("mistral", f"Instruct: {TASK}\nQuery: ", "", "left", "lasttoken"),
    "SFR-Embedding-Mistral": ("mistral", f"Instruct: {TASK}\nQuery: ", "", "right", "lasttoken"),
    "RepLLaMA": ("llama", "query: ", "passage: ", "right", "lasttoken"),
    "RepLLaMA, padded on the left": ("llama", "query: ", "passage: ", "left", "lasttoken"),
    "bge-multilingual-gemma2": ("gemma2", f"<instruct>{TASK}\n<query>", "", "left", "lasttoken"),
    "EmbeddingGemma": ("gemma3_text", "task: search result | query: ", "title: none | text: ", "right", "mean"),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_queries_and_documents(form, no_warning):
    name, query, document, side, mode = form
    both_ways = {"use_bidirectional_attention": True} if name == "gemma3_text" else {}
    # EmbeddingGemma's own chain of modules.
    after = [Dense(32, 48), Dense(48, 32), Normalize()] if both_ways else [Normalize()]
    model = build_embedder(name, side=side, mode=mode, after=after, **both_ways)
    model.prompts = {"query": query, "document": document}
    stock = model.encode_query(TEXTS), model.encode_document(TEXTS)
    prompteol.accelerate(model)
    for ours, expected in zip((model.encode_query(TEXTS), model.encode_document(TEXTS)), stock, strict=True):
        assert_same(ours, expected)
    assert packed_tokens(model)
    shares = len(model.tokenizer(query, add_special_tokens=False)["input_ids"]) > 8 and not both_ways
    assert bool(engines(model)[0].counters.prefix_tokens) == shares


@pytest.mark.parametrize("side", ["left", "right"])
def test_every_row_ends_with_eos(side):
    model = build_embedder(side=side)
    for row, mask in zip(*(model.preprocess(TEXTS)[name] for name in ("input_ids", "attention_mask")), strict=True):
        assert row[mask.bool()][-1] == model.tokenizer.eos_token_id
