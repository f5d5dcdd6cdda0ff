"""What a SentenceTransformer can do, it can still do once accelerated."""

import copy
import hashlib
import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.evaluation import (
    EmbeddingSimilarityEvaluator,
    InformationRetrievalEvaluator,
)
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

import prompteol
from acceleration.conftest import INSTRUCTION, TEXTS, assert_same, build_embedder, engines, packed_tokens

CALLS = {
    "plain": {},
    "prompt": {"prompt": INSTRUCTION},
    "prompt_name": {"prompt_name": "query"},
    "batch_size": {"batch_size": 3},
    "normalize": {"normalize_embeddings": True},
    "truncate_dim": {"truncate_dim": 8},
    "tensor": {"convert_to_tensor": True},
    "list": {"convert_to_numpy": False},
    "progress": {"show_progress_bar": True},
    "device": {"device": "cpu"},
    "limit": {"processing_kwargs": {"text": {"max_length": 9}}},
}


@pytest.fixture
def stock():
    return build_embedder()


@pytest.fixture
def fast(stock):
    return prompteol.accelerate(build_embedder())


def arrays(vectors):
    return np.asarray(vectors if isinstance(vectors, np.ndarray) else torch.stack(list(vectors)))


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_arguments_of_encode(fast, stock, call):
    ours, expected = fast.encode(TEXTS, **call), stock.encode(TEXTS, **call)
    assert type(ours) is type(expected)
    assert_same(arrays(ours), arrays(expected))
    assert packed_tokens(fast)


def test_positional_arguments_and_the_old_name(fast, stock):
    assert_same(fast.encode(TEXTS, "query", None, 4), stock.encode(TEXTS, "query", None, 4))
    assert_same(fast.encode(sentences=TEXTS), stock.encode(sentences=TEXTS))
    with pytest.raises(TypeError):
        fast.encode(TEXTS, inputs=TEXTS)


@pytest.mark.parametrize("precision", ["int8", "uint8", "binary", "ubinary"])
def test_precisions(fast, stock, precision):
    ours, expected = (model.encode(TEXTS, precision=precision) for model in (fast, stock))
    assert ours.dtype == expected.dtype
    assert (ours != expected).mean() < 0.02


def test_queries_and_documents(fast, stock):
    assert_same(fast.encode_query(TEXTS), stock.encode_query(TEXTS))
    assert_same(fast.encode_document(TEXTS), stock.encode_document(TEXTS))
    assert np.abs(fast.encode_query(TEXTS) - fast.encode_document(TEXTS)).max() > 1e-2


def test_one_text_none_and_arrays_of_texts(fast, stock):
    np.testing.assert_array_equal(fast.encode("two dogs"), stock.encode("two dogs"))
    np.testing.assert_array_equal(fast.encode(["two dogs"]), stock.encode(["two dogs"]))
    assert fast.encode([]).shape == stock.encode([]).shape
    assert_same(fast.encode(np.array(TEXTS)), stock.encode(TEXTS))
    assert_same(fast.encode(tuple(TEXTS)), stock.encode(TEXTS))


@pytest.mark.parametrize("value", ["token_embeddings", None])
def test_other_outputs_run_as_before(fast, stock, value):
    ours, expected = (model.encode(TEXTS, output_value=value) for model in (fast, stock))
    if value is None:
        ours, expected = ([row["sentence_embedding"] for row in rows] for rows in (ours, expected))
    for one, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(one, other)
    assert not packed_tokens(fast)


def test_similarity(fast, stock):
    ours, expected = (model.similarity(model.encode(TEXTS), model.encode(TEXTS)) for model in (fast, stock))
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)
    assert fast.similarity_pairwise(fast.encode(TEXTS), fast.encode(TEXTS)).min() > 1 - 1e-5


def test_arguments_that_stock_refuses_are_refused(fast):
    for wrong in ({"batch_size": 0}, {"precision": "int4"}, {"prompt_name": "nothing"}, {"engine": "stock"}):
        with pytest.raises(ValueError):  # noqa: PT011 - the messages are sentence-transformers' own
            fast.encode(TEXTS, **wrong)


def test_copies_and_pickles_are_accelerated_and_their_own(fast):
    fast.encode(TEXTS)
    for made in (copy.deepcopy(fast), pickle.loads(pickle.dumps(fast))):
        assert made[0].forward.transformer is made[0]
        assert made.encode.model is made
        assert_same(made.encode(TEXTS), fast.encode(TEXTS))
        assert packed_tokens(made)
        assert "forward" not in vars(prompteol.restore(made)[0])
    assert "forward" in vars(fast[0])


def test_torch_saves_and_loads_it(fast):
    file = io.BytesIO()
    torch.save(fast, file)
    file.seek(0)
    assert_same(torch.load(file, weights_only=False).encode(TEXTS), fast.encode(TEXTS))


def test_a_pool_of_processes(fast, stock):
    pool = fast.start_multi_process_pool(["cpu"])
    try:
        assert_same(fast.encode(TEXTS, pool=pool), stock.encode(TEXTS))
    finally:
        fast.stop_multi_process_pool(pool)


def digests(folder):
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_what_is_saved_is_the_stock_model_byte_for_byte(stock, tmp_path):
    stock.encode(TEXTS)  # leaves its padding and truncation in the tokenizer, which saves them
    stock.save_pretrained(str(tmp_path / "stock"))
    prompteol.accelerate(stock).encode(TEXTS)
    stock.save_pretrained(str(tmp_path / "fast"))
    assert digests(tmp_path / "fast") == digests(tmp_path / "stock")
    loaded = SentenceTransformer(str(tmp_path / "fast"), device="cpu")
    assert type(loaded[0]) is Transformer
    assert_same(loaded.encode(TEXTS), stock.encode(TEXTS))


def test_types_names_and_repr_stay(fast, stock):
    assert type(fast) is SentenceTransformer
    assert [type(module) for module in fast] == [type(module) for module in stock]
    assert repr(fast) == repr(stock)
    assert fast.state_dict().keys() == stock.state_dict().keys()
    assert fast.get_embedding_dimension() == stock.get_embedding_dimension()
    assert fast.max_seq_length == stock.max_seq_length


def test_accelerating_twice_and_restoring_twice(fast, stock):
    assert prompteol.accelerate(fast) is fast
    assert prompteol.restore(prompteol.restore(fast)) is fast
    assert not {"encode", "forward", "forward_kwargs"} & {*vars(fast), *vars(fast[0])}
    np.testing.assert_array_equal(fast.encode(TEXTS), stock.encode(TEXTS))


def test_evaluators(fast, stock):
    # No two pairs are alike: rounding would tell how such ones rank.
    pairs = EmbeddingSimilarityEvaluator(TEXTS[:6], TEXTS[2:8], [0.1, 0.4, 0.3, 0.9, 0.5, 0.2])
    search = InformationRetrievalEvaluator(
        {"q": TEXTS[0]}, {str(place): text for place, text in enumerate(TEXTS)}, {"q": {"0", "2"}}
    )
    for evaluator in (pairs, search):
        ours, expected = (evaluator(model) for model in (fast, stock))
        assert ours == pytest.approx(expected, abs=1e-4)
    assert packed_tokens(fast)


def test_half_precision_and_devices(fast):
    before = fast.encode(TEXTS, normalize_embeddings=True)
    after = fast.half().to("cpu").encode(TEXTS, normalize_embeddings=True)
    assert after.dtype == np.float16
    assert np.abs(before - after).max() < 1e-2


def test_a_prompt_that_is_set_later(fast, stock):
    for model in (fast, stock):
        model.prompts["other"] = "Another instruction, which is long enough that it is worth its while: "
        model.default_prompt_name = "other"
    assert_same(fast.encode(TEXTS), stock.encode(TEXTS))


def test_forward_outside_encode_is_stock(fast, stock):
    ours, expected = (model(model.preprocess(TEXTS)) for model in (fast, stock))
    torch.testing.assert_close(ours["token_embeddings"], expected["token_embeddings"])
    assert ours["sentence_embedding"].requires_grad
    assert not packed_tokens(fast)


def test_training_runs_as_before(stock, fast, tmp_path):
    rows = Dataset.from_dict({"anchor": TEXTS[:4], "positive": TEXTS[4:8]})
    for name, model in (("stock", stock), ("fast", fast)):
        arguments = SentenceTransformerTrainingArguments(
            str(tmp_path / name), max_steps=2, report_to="none", save_strategy="no", use_cpu=True, learning_rate=1e-2
        )
        SentenceTransformerTrainer(
            model, arguments, train_dataset=rows, loss=MultipleNegativesRankingLoss(model)
        ).train()
        assert not packed_tokens(model) if model is fast else True
    assert_same(fast.encode(TEXTS), stock.encode(TEXTS))
    assert packed_tokens(fast)


def test_compiled_models_are_left_to_torch(fast, stock):
    fast.compile(backend="eager", dynamic=True)
    assert_same(fast.encode(TEXTS), stock.encode(TEXTS))


def test_texts_beyond_one_batch(fast, stock):
    texts = [f"{text} {number}" for number in range(130) for text in TEXTS]
    assert_same(fast.encode(texts, prompt=INSTRUCTION), stock.encode(texts, prompt=INSTRUCTION))
    assert engines(fast)[0].counters.checks <= 3


def test_an_adapter_that_is_added_later(fast):
    peft = pytest.importorskip("peft")
    before = fast.encode(TEXTS)
    fast.add_adapter(peft.LoraConfig(target_modules=["q_proj"], init_lora_weights=False))
    ours = fast.encode(TEXTS)
    assert np.abs(ours - before).max() > 1e-3
    assert_same(ours, prompteol.restore(fast).encode(TEXTS))
