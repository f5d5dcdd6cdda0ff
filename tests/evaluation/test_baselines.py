"""Baselines: the mean over the backbone's tokens, and tf-idf."""

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoTokenizer

from prompteol import PromptEOL
from prompteol.errors import ModelError
from prompteol.evaluation.runner import MeanPooling, tfidf

SENTENCES = ["A man is playing a guitar.", "Two dogs", "The woman is riding a horse in the snow.", "Two dogs"]


@pytest.mark.parametrize("name", ["llama", "opt", "qwen2"])
def test_the_mean_of_all_tokens_one_sentence_at_a_time(tiny, name):
    folder = tiny(name)
    tokenizer, backbone = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    with torch.inference_mode():
        expected = [
            backbone(**tokenizer(s, return_tensors="pt")).last_hidden_state[0].mean(0).numpy() for s in SENTENCES
        ]
    model = PromptEOL(folder, device="cpu", layer=-2)
    pooled = MeanPooling(model).encode(SENTENCES, batch_size=2)
    np.testing.assert_allclose(pooled, expected, atol=1e-5)
    assert pooled.dtype == np.float32
    prompted = model.encode(SENTENCES)
    assert np.abs(pooled - prompted).max() > 0.01


def test_a_text_of_no_token_has_a_mean_too(tiny):
    model = PromptEOL(tiny("qwen2"), device="cpu")
    assert not model.tokenizer("")["input_ids"]
    pooled = MeanPooling(model).encode(["", "Two dogs"])
    assert np.isfinite(pooled).all()
    np.testing.assert_allclose(pooled[1:], MeanPooling(model).encode(["Two dogs"]), atol=1e-6)


def test_a_portable_model_has_the_same_backbone(tiny, tmp_path):
    model = PromptEOL(tiny("llama"), device="cpu")
    model.save_pretrained(str(tmp_path / "saved"))
    stock = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    np.testing.assert_allclose(MeanPooling(stock).encode(SENTENCES), MeanPooling(model).encode(SENTENCES), atol=1e-5)


def test_a_module_without_backbone_is_refused():
    with pytest.raises(ModelError, match="Linear holds no backbone"):
        MeanPooling([torch.nn.Linear(2, 2)])


def test_tfidf_weighs_rare_words_more():
    vectors = tfidf(["red dog", "red cat", "red bird"]).toarray()
    assert vectors.shape == (3, 4)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1)
    assert sorted(vectors[0])[-1] > sorted(vectors[0])[-2] > 0
