"""One text has one vector: alone, in a batch, in any order, through every door of a SentenceTransformer."""

import pickle
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from prompteol import PromptEOL
from prompteol.errors import ModelError, SettingError
from prompteol.model.module import PromptEOLModule

TEXTS = [
    "A man is playing a guitar.",
    "Why?",
    "",
    'She said "hi"',
    "A much longer sentence, with commas, that goes on for a while and then some more, until it ends",
    "😀 文字。",
    "(",
    "Two dogs run in the snow.",
] + [f"Sentence number {i} " + "word " * i for i in range(20)]


def close(left, right, bound=1e-5):
    return np.abs(left - right).max() <= bound * np.abs(right).max()


@pytest.fixture
def model(tiny, architecture):
    return PromptEOL(tiny(architecture), device="cpu")


def test_alone_in_a_batch_and_in_any_order(model):
    whole = model.encode(TEXTS)
    alone = np.stack([model.encode(text) for text in TEXTS])
    assert close(whole, alone)
    for batch_size in (1, 3, 64):
        order = random.Random(batch_size).sample(range(len(TEXTS)), len(TEXTS))
        shuffled = model.encode([TEXTS[i] for i in order], batch_size=batch_size)
        assert close(shuffled, whole[order])


def test_equal_texts_are_embedded_once(model):
    expected = model.encode(TEXTS)
    counters = model.module._engine.counters
    once = counters.text_tokens
    repeated = model.encode(TEXTS * 40)
    # Not more tokens than for the first call, although a batch holds 256 texts.
    assert counters.text_tokens == 2 * once
    assert close(repeated, np.tile(expected, (40, 1)))
    tensors = model.encode([TEXTS[0], TEXTS[1], TEXTS[0]], convert_to_numpy=False)
    assert len(tensors) == 3
    assert torch.equal(tensors[0], tensors[2])


def test_what_comes_back(model):
    assert model.encode([]).shape == (0,)
    assert model.encode("one").shape == (32,)
    assert model.encode(np.array(["one", "two"])).shape == (2, 32)
    assert isinstance(model.encode(["one"], convert_to_tensor=True), torch.Tensor)
    assert len(model.encode(["one", "two"], convert_to_numpy=False)) == 2
    norms = np.linalg.norm(model.encode(TEXTS, normalize_embeddings=True), axis=1)
    assert np.allclose(norms, 1)
    assert close(model.encode(TEXTS, truncate_dim=8), model.encode(TEXTS)[:, :8])
    assert close(model.encode(sentences=["one"]), model.encode(["one"]))


def test_precision(model):
    for precision, dtype, width in (("int8", np.int8, 32), ("binary", np.int8, 4), ("ubinary", np.uint8, 4)):
        quantized = model.encode(TEXTS, precision=precision)
        assert quantized.dtype == dtype
        assert quantized.shape == (len(TEXTS), width)


def test_token_embeddings_end_in_the_sentence_embedding(model):
    tokens = model.encode(TEXTS[:4], output_value="token_embeddings")
    assert close(np.stack([states[-1].numpy() for states in tokens]), model.encode(TEXTS[:4]))
    features = model.encode(TEXTS[:2], output_value=None)
    assert {"sentence_embedding", "input_ids"} <= features[0].keys()


def test_prompts(model):
    model.prompts["kind"] = "Be kind. "
    plain, kind = model.encode(["Hello."]), model.encode(["Hello."], prompt_name="kind")
    assert not close(kind, plain)
    assert close(model.encode(["Hello."], prompt="Be kind. "), kind)


def test_roles_take_their_templates(tiny):
    pair = PromptEOL(tiny("llama"), template="promptreps", device="cpu")
    assert not close(pair.encode_query(["rain"]), pair.encode_document(["rain"]))
    assert close(pair.encode(["rain"]), pair.encode_document(["rain"]))
    assert close(pair.encode(["rain"], prompt_name="query"), pair.encode_query(["rain"]))
    assert pair.prompts == {"query": "query", "document": "document"}
    one = PromptEOL(tiny("llama"), device="cpu")
    assert one.prompts == {"query": "", "document": ""}
    assert close(one.encode_query(["rain"]), one.encode(["rain"]))


def test_similarity(model):
    matrix = model.similarity(model.encode(TEXTS), model.encode(TEXTS))
    assert torch.allclose(matrix.diagonal(), torch.ones(len(TEXTS)), atol=1e-5)


def test_layers(tiny):
    folder = tiny("llama")
    last = PromptEOL(folder, device="cpu").encode(TEXTS)
    assert not close(PromptEOL(folder, layer=-2, device="cpu").encode(TEXTS), last)
    assert PromptEOL(folder, layer=0.75).layer == -2
    assert PromptEOL(folder, layer=1.0).layer == -1
    assert PromptEOL(folder, layer=0.1).layer == -4
    assert close(PromptEOL(folder, layer=0.75).encode(TEXTS), PromptEOL(folder, layer=-2).encode(TEXTS))


def test_both_engines_give_one_vector(tiny, architecture):
    for options in ({}, {"demonstrations": "opt-2.7b"}, {"layer": -2}, {"template": "promptreps"}):
        model = PromptEOL(tiny(architecture), device="cpu", **options)
        assert close(model.encode_query(TEXTS), model.encode_query(TEXTS, engine="stock"))


def test_threads_do_not_mix_vectors(model):
    expected = model.encode(TEXTS)
    with ThreadPoolExecutor(8) as pool:
        jobs = [(i % len(TEXTS), pool.submit(model.encode, [TEXTS[i % len(TEXTS)]])) for i in range(160)]
        assert all(close(job.result()[0], expected[index]) for index, job in jobs)


@pytest.mark.parametrize("engine", ["auto", "stock"])
@pytest.mark.parametrize("layer", [-1, -2])
def test_pickled(tiny, architecture, layer, engine):
    model = PromptEOL(tiny(architecture), layer=layer, engine=engine, device="cpu")
    expected = model.encode(TEXTS)
    assert close(pickle.loads(pickle.dumps(model)).encode(TEXTS), expected)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_pickled_after_it_was_told_to_compile(tiny):
    model = PromptEOL(tiny("llama"), device="cpu")
    expected = model.encode(TEXTS)
    model.compile()
    assert close(pickle.loads(pickle.dumps(model)).encode(TEXTS), expected)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning", "ignore:Dynamo")
def test_the_compiler_stays_out_of_the_engine(tiny, caplog):
    model = PromptEOL(tiny("llama"), device="cpu")
    expected = model.encode(TEXTS)
    model.compile(backend="eager")
    assert "the shared-prefix engine runs uncompiled" in caplog.text
    assert "engine='stock'" in caplog.text or 'engine="stock"' in caplog.text
    # No warning that the backbone cannot be run: it would be an error.
    assert close(model.encode(TEXTS), expected)
    assert model.module._engine.counters.stock_tokens == 0
    assert close(torch.compile(PromptEOL(tiny("llama"), device="cpu"), backend="eager").encode(TEXTS), expected)


@pytest.mark.parametrize("layer", [-1, 0.5])
def test_a_pool_of_two_processes(tiny, layer):
    model = PromptEOL(tiny("opt"), layer=layer, device="cpu")
    expected = model.encode(TEXTS)
    pool = model.start_multi_process_pool(["cpu", "cpu"])
    try:
        assert close(model.encode(TEXTS, pool=pool, chunk_size=7), expected)
    finally:
        model.stop_multi_process_pool(pool)


def test_training_takes_gradients_through_the_backbone(model):
    model.train()
    features = model(model.preprocess(TEXTS[:2]))
    features["sentence_embedding"].sum().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_a_device_map_stays(tiny):
    placed = PromptEOL(tiny("llama"), model_kwargs={"device_map": {"": "cpu"}, "dtype": torch.float32})
    assert close(placed.encode(TEXTS), PromptEOL(tiny("llama"), device="cpu").encode(TEXTS))


def test_half_precision_stays_near(tiny):
    exact = PromptEOL(tiny("llama"), device="cpu").encode(TEXTS)
    half = PromptEOL(tiny("llama"), device="cpu", model_kwargs={"dtype": torch.bfloat16})
    assert half.dtype == torch.bfloat16
    cosine = torch.nn.functional.cosine_similarity(
        torch.tensor(exact), half.encode(TEXTS, convert_to_tensor=True).float()
    )
    assert cosine.min() > 0.99


def test_a_length_for_one_call(tiny, tmp_path):
    model = PromptEOL(tiny("llama"), device="cpu")
    model.save_pretrained(tmp_path / "saved")
    long = "word " * 100
    asked = {"text": {"max_length": 40}}
    vector = model.encode(long, processing_kwargs=asked)
    assert close(
        SentenceTransformer(str(tmp_path / "saved"), device="cpu").encode(long, processing_kwargs=asked), vector
    )
    assert not close(vector, model.encode(long), 1e-2)
    for wrong in ({"common": {}}, {"text": {"padding": True}}, {"text": {"truncation": False}}):
        with pytest.raises(SettingError, match="processing_kwargs="):
            model.encode(long, processing_kwargs=wrong)
    with pytest.raises(ModelError, match="engine='fast'"):
        model.encode(long, engine="fast")


def test_queries_and_documents_come_in_large_batches_too(model, monkeypatch):
    sizes = []
    forward = PromptEOLModule.forward
    monkeypatch.setattr(
        PromptEOLModule,
        "forward",
        lambda self, features, **k: sizes.append(len(features["input_ids"])) or forward(self, features, **k),
    )
    texts = [f"Sentence {number}" for number in range(100)]
    for encode in (model.encode, model.encode_query, model.encode_document):
        encode(texts)
    model.encode_query(texts, batch_size=50)
    model.encode_document(texts, None, None, 50)
    assert sizes == [100, 100, 100, 50, 50, 50, 50]
