"""A stock SparseEncoder around a model gives its token weights, and says what it cannot do."""

import numpy as np
import pytest
import torch
from sentence_transformers import SparseEncoder

from prompteol import PromptEOL, sparse_encoder
from prompteol.errors import ModelError, SettingError
from prompteol.testing import tiny_model

TEXTS = ["A man is playing a guitar", "Two dogs run in the snow", "The cat sat on the mat", "of the"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("tiny"), "llama")


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta state:UserWarning")  # similarity, in torch
def test_its_vectors_are_those_of_encode_sparse(folder):
    model = PromptEOL(folder, template="promptreps", device="cpu")
    encoder = sparse_encoder(model)
    assert isinstance(encoder, SparseEncoder)
    for task, encode in {
        None: encoder.encode,
        "query": encoder.encode_query,
        "document": encoder.encode_document,
    }.items():
        found = encode(TEXTS, batch_size=2)
        assert found.is_sparse
        np.testing.assert_allclose(found.to_dense().numpy(), model.encode_sparse(TEXTS, task).toarray(), atol=1e-5)
    queries, documents = encoder.encode_query(TEXTS[:2]), encoder.encode_document(TEXTS)
    expected = model.encode_sparse(TEXTS[:2], "query") @ model.encode_sparse(TEXTS, "document").T
    np.testing.assert_allclose(encoder.similarity(queries, documents).numpy(), expected.toarray(), atol=1e-4)
    assert encoder.get_embedding_dimension() == found.shape[1]


def test_dimensions_are_limited_and_words_decoded(folder):
    model = PromptEOL(folder, device="cpu")
    few = sparse_encoder(model, max_active_dims=2, expand=True).encode(TEXTS[0])
    np.testing.assert_allclose(
        few.to_dense().numpy(), model.encode_sparse(TEXTS[0], expand=True, max_active_dims=2).toarray()[0], atol=1e-6
    )
    encoder = sparse_encoder(model)
    assert (encoder.encode(TEXTS, max_active_dims=1).to_dense() > 0).sum(dim=1).tolist() == [1, 1, 1, 0]
    words = {word for word, _ in encoder.decode(encoder.encode(TEXTS[0]))}
    assert words <= set(model.tokenizer.convert_ids_to_tokens(range(len(model.tokenizer))))
    assert isinstance(encoder.encode([]), torch.Tensor)


def test_what_does_not_fit_is_said(folder, tmp_path):
    encoder = sparse_encoder(PromptEOL(folder, device="cpu"))
    with pytest.raises(SettingError, match="save the PromptEOL"):
        encoder.save_pretrained(str(tmp_path / "saved"))
    with pytest.raises(SettingError, match="by task"):
        encoder.encode(TEXTS, prompt="Find: ")
    with pytest.raises(SettingError, match="several prompts"):
        sparse_encoder(PromptEOL(folder, technique="prompt-ensemble", device="cpu"))
    untied = tiny_model(tmp_path / "base", "llama", tied=False)
    PromptEOL(untied, device="cpu").save_pretrained(tmp_path / "headless")
    with pytest.raises(ModelError, match="has no LM head"):
        sparse_encoder(PromptEOL(tmp_path / "headless", device="cpu"))
