"""Sparse vectors are the LM head's weights of a text's words, from the pass that gives the dense ones."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from transformers import AutoModelForCausalLM, AutoTokenizer

from prompteol import PromptEOL, hybrid_scores, split_windows
from prompteol.errors import InputError, ModelError, SettingError
from prompteol.model.sparse import HybridVectors, words_of_text
from prompteol.testing import tiny_model

TEXTS = ["A man is playing a guitar", "Two dogs run in the snow", "The cat sat on the mat", "of the"]
SHOWN = [("A jockey riding a horse.", "Equestrian")]


def by_hand(folder, text, words=None):
    """Return the weights of one text, (vocabulary,), by a few lines on a plain language model."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    row = tokenizer(f'This sentence : "{text}." means in one word:"', return_tensors="pt")
    with torch.no_grad():
        logits = model(input_ids=row.input_ids).logits[0, -1]
    weights = torch.log(1 + torch.relu(logits))
    ids = [i for word in words or [] for i in tokenizer(word, add_special_tokens=False).input_ids]
    keep = torch.ones_like(weights) if words is None else torch.zeros_like(weights).index_fill(0, torch.tensor(ids), 1)
    return (weights * keep).numpy()


@pytest.fixture(scope="module", params=["llama", "opt", "gpt2", "qwen2"])
def folder(request, tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("tiny"), request.param)


@pytest.mark.parametrize("engine", ["auto", "stock"])
@pytest.mark.parametrize("layer", [-1, -2])
def test_both_vectors_of_one_pass_are_right(folder, engine, layer):
    model = PromptEOL(folder, layer=layer, engine=engine, device="cpu")
    dense, sparse = model.encode_hybrid(TEXTS)
    np.testing.assert_allclose(dense, model.encode(TEXTS), rtol=0, atol=1e-5)
    words = [["man", "playing", "guitar"], ["dogs", "run", "snow"], ["cat", "sat", "mat"]]
    expected = [by_hand(folder, text, own) for text, own in zip(TEXTS, words, strict=False)]
    np.testing.assert_allclose(sparse.toarray()[:3], expected, rtol=0, atol=1e-5)
    assert sparse[[3]].nnz == 0, "a text of stop words alone has no words"
    alone = [model.encode_sparse(text).toarray()[0] for text in TEXTS]
    np.testing.assert_allclose(sparse.toarray(), alone, rtol=0, atol=1e-5)


def test_every_token_may_be_weighted_and_the_largest_are_kept(folder):
    model = PromptEOL(folder, device="cpu")
    sparse = model.encode_sparse(TEXTS[:1], expand=True, max_active_dims=5)
    weights = by_hand(folder, TEXTS[0])
    assert isinstance(sparse, csr_array)
    assert set(sparse.indices) == set(np.argsort(-weights)[:5])
    np.testing.assert_allclose(sparse.data, weights[sparse.indices], rtol=0, atol=1e-5)


def test_a_demonstration_and_a_task_change_both(folder):
    model = PromptEOL(folder, template="promptreps", device="cpu")
    query, document = (model.encode_hybrid(TEXTS[:3], task=task) for task in ("query", "document"))
    np.testing.assert_allclose(query.dense, model.encode_query(TEXTS[:3]), rtol=0, atol=1e-5)
    assert not np.allclose(query.sparse.toarray(), document.sparse.toarray())
    shown = PromptEOL(folder, demonstrations=SHOWN, device="cpu")
    assert not np.allclose(
        shown.encode_sparse(TEXTS[:3]).toarray(), PromptEOL(folder).encode_sparse(TEXTS[:3]).toarray()
    )


def test_a_head_that_scales_its_logits_is_asked_itself(tmp_path):
    from transformers import AutoConfig

    base = tiny_model(tmp_path / "llama", "llama")
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "head_dim": 8,
    }
    rest = {"num_key_value_heads": 2, "vocab_size": len(AutoTokenizer.from_pretrained(base)), "pad_token_id": 0}
    config = AutoConfig.for_model("gemma2", **sizes, **rest, final_logit_softcapping=0.5, query_pre_attn_scalar=8)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "gemma")
    AutoTokenizer.from_pretrained(base).save_pretrained(tmp_path / "gemma")
    sparse = PromptEOL(tmp_path / "gemma", device="cpu").encode_sparse(TEXTS[:2], expand=True)
    assert sparse.data.max() < np.log(1.5)
    expected = by_hand(tmp_path / "gemma", TEXTS[0])
    np.testing.assert_allclose(sparse.toarray()[0][sparse[[0]].indices], expected[sparse[[0]].indices], atol=1e-5)


def test_what_has_no_head_or_several_prompts_is_refused(tmp_path):
    folder = tiny_model(tmp_path / "base", "llama", tied=False)
    PromptEOL(folder, device="cpu").save_pretrained(tmp_path / "saved")
    with pytest.raises(ModelError, match="has no LM head"):
        PromptEOL(tmp_path / "saved", device="cpu").encode_sparse(TEXTS)
    with pytest.raises(SettingError, match="several prompts"):
        PromptEOL(folder, technique="prompt-ensemble", device="cpu").encode_hybrid(TEXTS)
    with pytest.raises(SettingError, match="max_active_dims"):
        PromptEOL(folder, device="cpu").encode_sparse(TEXTS, max_active_dims=0)


def test_scores_are_the_two_scaled_and_added():
    queries = HybridVectors(np.array([[1.0, 0.0]]), csr_array([[2.0, 0.0]]))
    documents = HybridVectors(np.array([[1.0, 0.0], [0.0, 3.0], [1.0, 1.0]]), csr_array([[0, 1.0], [3.0, 0], [1.5, 0]]))
    middle = (0.75 * 2**-0.5) + 0.25 * 0.5
    np.testing.assert_allclose(hybrid_scores(queries, documents, sparse_weight=0.25), [[0.75, 0.25, middle]], atol=1e-6)
    with pytest.raises(SettingError, match="sparse_weight=2"):
        hybrid_scores(queries, documents, sparse_weight=2)


def test_words_are_in_lower_case_without_stop_words():
    assert words_of_text("The p53 Protein: the protein, in Ärzte_2 and of") == ["p53", "protein", "ärzte", "2"]


@pytest.mark.parametrize("options", [{}, {"template": "promptreps"}, {"default_prompt_name": "other"}])
def test_prompts_are_those_of_encode(folder, options):
    prompts = {"query": "Find: ", "other": "Other: "} if options.get("template") is None else None
    model = PromptEOL(folder, prompts=prompts, device="cpu", **options)
    expected = {"query": model.encode_query, "document": model.encode_document}
    if prompts:
        expected[None] = model.encode
    for task, encode in expected.items():
        np.testing.assert_allclose(model.encode_hybrid(TEXTS, task).dense, encode(TEXTS), rtol=0, atol=1e-5)


def test_a_long_document_is_scored_by_its_windows():
    windows, starts = split_windows(["A man sings. Loudly! Is it late?It is.Yes", "", "One"], sentences=2)
    assert windows == ["A man sings. Loudly!", "Is it late? It is.", "Yes", "", "One"]
    assert starts == [0, 3, 4]
    queries = HybridVectors(np.array([[1.0, 0.0]]), csr_array([[1.0, 0.0]]))
    dense = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.8, 0.6], [0.0, 1.0]])
    documents = HybridVectors(dense, csr_array(dense[::-1].copy()))
    for pooling, expected in {"max": [1.0, 0.8, 0.0], "mean": [1.6 / 3, 0.8, 0.0]}.items():
        found = hybrid_scores(queries, documents, sparse_weight=0, windows=starts, pooling=pooling)
        np.testing.assert_allclose(found, [np.array(expected) / max(expected)], atol=1e-6)
    with pytest.raises(SettingError, match="pooling='sum' is none of 'max', 'mean'"):
        hybrid_scores(queries, documents, windows=starts, pooling="sum")
    for wrong in ([0, 3, 3], [1, 2], [0, 5]):
        with pytest.raises(InputError, match="do not divide 5 windows"):
            hybrid_scores(queries, documents, windows=wrong)
