"""What the adapters of LangChain and LlamaIndex have in common: tasks, prompts, settings, threads, copies."""

import asyncio
import copy
import pickle
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from pytest_socket import disable_socket, enable_socket

from prompteol import fingerprint
from prompteol.embedder import LongTextWarning, check_index, index_metadata
from prompteol.errors import IndexMismatchError, InputError, ModelNotFoundError, SettingError
from small_models import stock_model

TEXTS = ["a guitar", "a horse\nin the snow", "", "The president is riding a horse and playing a guitar.", "two dogs"]
LONG = "The cat sat on the mat. " * 100


@dataclass(frozen=True)
class Adapter:
    """Name what an adapter's class and its framework call the same things."""

    embeddings: Any
    query: str
    documents: str
    query_prompt: str
    document_prompt: str
    normalize: str

    def wrap(self, model, **fields):
        return self.embeddings.from_sentence_transformer(model, **fields)

    def embed_query(self, embeddings, text):
        return getattr(embeddings, self.query)(text)

    def embed_documents(self, embeddings, texts):
        return getattr(embeddings, self.documents)(texts)

    def aembed_query(self, embeddings, text):
        return getattr(embeddings, f"a{self.query}")(text)

    def aembed_documents(self, embeddings, texts):
        return getattr(embeddings, f"a{self.documents}")(texts)

    def both_tasks(self, embeddings):
        queries = [self.embed_query(embeddings, text) for text in TEXTS]
        return np.asarray([*self.embed_documents(embeddings, TEXTS), *queries])


@pytest.fixture(params=["langchain", "llama_index"])
def adapter(request):
    if request.param == "langchain":
        pytest.importorskip("langchain_core")
        found = import_module("langchain_prompteol").PromptEOLEmbeddings
        prompts = ("query_prompt", "document_prompt", "normalize_embeddings")
        return Adapter(found, "embed_query", "embed_documents", *prompts)
    pytest.importorskip("llama_index.core")
    found = import_module("llama_index.embeddings.prompteol").PromptEOLEmbedding
    prompts = ("query_instruction", "text_instruction", "normalize")
    return Adapter(found, "get_query_embedding", "get_text_embedding_batch", *prompts)


@pytest.fixture(autouse=True)
def _sockets_off() -> Iterator[None]:
    disable_socket(allow_unix_socket=True)
    yield
    enable_socket()


@pytest.fixture(scope="module")
def model():
    """A model whose own prompts tell a query from a document."""
    return stock_model(query="Q: ", document="D: ")


def unit(vectors):
    array = np.asarray(vectors, dtype=np.float64)
    return array / np.linalg.norm(array, axis=-1, keepdims=True)


def differ(first, second):
    return np.abs(np.subtract(first, second)).max() > 1e-3


def test_queries_and_documents_take_the_models_own_prompts(adapter, model):
    embeddings = adapter.wrap(model)
    query = adapter.embed_query(embeddings, "a\nb")
    np.testing.assert_allclose(query, unit(model.encode_query("a\nb")), atol=1e-5)
    documents = adapter.embed_documents(embeddings, TEXTS)
    np.testing.assert_allclose(documents, unit(model.encode_document(TEXTS)), atol=1e-5)
    assert differ(adapter.embed_query(embeddings, "a"), adapter.embed_documents(embeddings, ["a"])[0])


@pytest.mark.parametrize("prompt", ["", "Find: "])
def test_prompts_are_replaced_or_removed_one_task_at_a_time(adapter, model, prompt):
    queries = adapter.wrap(model, **{adapter.query_prompt: prompt})
    documents = adapter.wrap(model, **{adapter.document_prompt: prompt})
    plain, expected = adapter.wrap(model), unit(model.encode(["a"], prompt=prompt))
    np.testing.assert_allclose([adapter.embed_query(queries, "a")], expected, atol=1e-5)
    np.testing.assert_allclose(adapter.embed_documents(documents, ["a"]), expected, atol=1e-5)
    assert adapter.embed_documents(queries, ["a"]) == adapter.embed_documents(plain, ["a"])
    assert adapter.embed_query(documents, "a") == adapter.embed_query(plain, "a")


def test_one_switch_normalizes_both_tasks(adapter, model):
    assert np.linalg.norm(adapter.both_tasks(adapter.wrap(model)), axis=1) == pytest.approx(1, abs=1e-5)
    raw = adapter.wrap(model, **{adapter.normalize: False})
    assert np.linalg.norm(adapter.both_tasks(raw), axis=1).min() > 1.1


def test_cuts_are_normalized_in_both_tasks(adapter, model):
    cut = adapter.both_tasks(adapter.wrap(model, truncate_dim=8))
    np.testing.assert_allclose(cut, unit(adapter.both_tasks(adapter.wrap(model))[:, :8]), atol=1e-5)


def test_a_field_assigned_later_counts(adapter, model):
    embeddings = adapter.wrap(model)
    embeddings.truncate_dim = 8
    assert len(adapter.embed_query(embeddings, "a")) == 8


def test_odd_input(adapter, model):
    embeddings = adapter.wrap(model)
    assert adapter.embed_documents(embeddings, []) == []
    with pytest.raises(InputError, match="text 1"):
        adapter.embed_documents(embeddings, ["a", None])


def test_a_model_that_is_not_there_is_an_error(adapter, tmp_path):
    with pytest.raises(ModelNotFoundError):
        adapter.embeddings(model_name=str(tmp_path / "nothing"))


def test_a_model_in_memory_is_pickled_with_its_weights(adapter, model):
    embeddings = adapter.wrap(stock_model(seed=1), truncate_dim=8)
    copied = pickle.loads(pickle.dumps(embeddings))
    np.testing.assert_allclose(adapter.both_tasks(copied), adapter.both_tasks(embeddings), atol=1e-6)
    assert differ(adapter.both_tasks(copied), adapter.both_tasks(adapter.wrap(model, truncate_dim=8)))


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda e: e.model_copy(), lambda e: e.model_copy(deep=True)]
)
def test_copies_embed_the_same(adapter, model, duplicate):
    embeddings = adapter.wrap(model, truncate_dim=8)
    adapter.embed_query(embeddings, "so that a lock exists")
    np.testing.assert_allclose(adapter.both_tasks(duplicate(embeddings)), adapter.both_tasks(embeddings), atol=1e-6)


@pytest.mark.parametrize("field", ["model_name", "model_kwargs"])
def test_what_the_model_was_loaded_from_cannot_be_exchanged(adapter, model, field):
    with pytest.raises(ValidationError, match="frozen"):
        setattr(adapter.wrap(model), field, {})


def test_a_name_is_no_model(adapter):
    with pytest.raises(SettingError, match=r"model is 'facebook/opt-125m', not a SentenceTransformer; load it first"):
        adapter.wrap("facebook/opt-125m")


async def test_async_equals_sync(adapter, model):
    embeddings = adapter.wrap(model)
    assert await adapter.aembed_query(embeddings, "a") == adapter.embed_query(embeddings, "a")
    assert await adapter.aembed_documents(embeddings, TEXTS) == adapter.embed_documents(embeddings, TEXTS)


@pytest.mark.parametrize(("call", "given"), [("aembed_query", "a"), ("aembed_documents", TEXTS)])
async def test_the_loop_goes_on_while_a_text_is_encoded(adapter, model, monkeypatch, call, given):
    original = model.preprocess
    monkeypatch.setattr(model, "preprocess", lambda *args, **kw: (time.sleep(0.2), original(*args, **kw))[1])
    task = asyncio.ensure_future(getattr(adapter, call)(adapter.wrap(model), given))
    ticks = 0
    while not task.done():
        await asyncio.sleep(0.01)
        ticks += 1
    assert ticks >= 5
    assert await task


async def test_concurrent_calls_never_mix_vectors(adapter, model):
    embeddings = [adapter.wrap(model), adapter.wrap(model, **{adapter.query_prompt: "Find: "})]
    expected = [[adapter.embed_query(e, text) for text in TEXTS] for e in embeddings]
    jobs = [(which, index) for which in (0, 1) for index in range(len(TEXTS))] * 10
    found = await asyncio.gather(*(adapter.aembed_query(embeddings[which], TEXTS[index]) for which, index in jobs))
    for (which, index), vector in zip(jobs, found, strict=True):
        np.testing.assert_allclose(vector, expected[which][index], atol=1e-5)


def test_long_texts_are_mentioned_once_an_adapter(adapter, model):
    embeddings = adapter.wrap(model)
    with pytest.warns(LongTextWarning):
        adapter.embed_documents(embeddings, [LONG])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        adapter.embed_query(embeddings, LONG)
        adapter.embed_documents(embeddings, [LONG])


def test_the_fingerprint_guards_an_index(adapter, model):
    embeddings = adapter.wrap(model)
    assert embeddings.fingerprint == fingerprint(model)
    check_index(index_metadata(embeddings), embeddings)
    with pytest.raises(IndexMismatchError):
        check_index(index_metadata(embeddings), adapter.wrap(stock_model(seed=1)))


def test_a_thousand_texts_are_one_call_of_the_model(adapter, model, monkeypatch):
    handed = []
    original = model.encode
    monkeypatch.setattr(
        model, "encode", lambda inputs, **kw: (handed.append((len(inputs), kw)), original(inputs, **kw))[1]
    )
    texts = [f"text {number}" for number in range(1000)]
    assert len(adapter.embed_documents(adapter.wrap(model), texts)) == 1000
    [(count, options)] = handed
    assert count == 1000
    assert "batch_size" not in options or options["batch_size"] in (None, 32)


def test_a_model_in_memory_and_an_endpoint_are_one_too_many(adapter, model):
    with pytest.raises(SettingError, match="leave one of them out"):
        adapter.wrap(model, endpoint="http://localhost:1")
