"""``TextEmbedder``: roles, prompts, settings, and what it must never do to a text."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import threading

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from prompteol.embedder import TextEmbedder, lock_for
from prompteol.errors import InputError, NonFiniteError, SettingError
from small_models import stock_model

TEXTS = ["a guitar", "a horse in the snow", "", "The president is riding a horse and playing a guitar.", "two dogs"]

AWKWARD = [
    "a\nb",
    "  blanks around  ",
    "tab\tand\r\nlines\n",
    "NUL \x00 inside",
    '{text} {{ bos_token }} {% raw %} %s " means in one word:"',
    "日本語 ﬁ 👩‍👩‍👧",
    "UPPER. Full stop.",
]


def unit(vectors: object) -> np.ndarray:
    array = np.asarray(vectors, dtype=np.float64)
    return array / np.linalg.norm(array, axis=-1, keepdims=True)


def test_each_role_takes_the_models_own_prompt(model):
    embedder = TextEmbedder(model)
    query, document = embedder.embed(["a"], "query"), embedder.embed(["a"], "document")
    np.testing.assert_allclose(query, unit(model.encode_query(["a"])), atol=1e-6)
    np.testing.assert_allclose(document, unit(model.encode_document(["a"])), atol=1e-6)
    assert np.abs(np.subtract(query, document)).max() > 1e-3
    assert np.abs(np.subtract(document, unit(model.encode(["a"])))).max() > 1e-3


@pytest.mark.parametrize("role", ["query", "document"])
@pytest.mark.parametrize("prompt", ["", "Find: "])
def test_a_prompt_replaces_the_models_own_and_an_empty_one_removes_it(model, task, prompt):
    embedded = TextEmbedder(model, prompts={task: prompt}).embed(["a"], task)
    np.testing.assert_allclose(embedded, unit(model.encode(["a"], prompt=prompt)), atol=1e-6)
    assert np.abs(np.subtract(embedded, TextEmbedder(model).embed(["a"], task))).max() > 1e-3


def test_a_prompt_for_one_role_leaves_the_other_alone(model):
    embedder = TextEmbedder(model, prompts={"query": "Find: ", "document": None})
    assert embedder.embed(["a"], "document") == TextEmbedder(model).embed(["a"], "document")


@pytest.mark.parametrize("role", ["query", "document"])
def test_texts_reach_the_model_as_they_are(model, monkeypatch, task):
    seen: list[str] = []
    method = f"encode_{task}"
    original = getattr(model, method)
    monkeypatch.setattr(model, method, lambda texts, **kwargs: (seen.extend(texts), original(texts, **kwargs))[1])
    TextEmbedder(model).embed(AWKWARD, task)
    assert seen == AWKWARD


def test_a_newline_is_not_a_blank():
    """Unless the model's own template says so, as the paper's normalization does."""
    first, second = TextEmbedder(stock_model()).embed(["a\nb", "a b"], "document")
    assert np.abs(np.subtract(first, second)).max() > 1e-3


@pytest.mark.parametrize("role", ["query", "document"])
def test_order_holds_across_batches_and_a_batch_equals_single_texts(model, task):
    embedder = TextEmbedder(model, batch_size=2)
    singles = [embedder.embed([text], task)[0] for text in TEXTS]
    np.testing.assert_allclose(embedder.embed(TEXTS, task), singles, atol=1e-5)


def test_batch_size_reaches_the_model(model, monkeypatch):
    sizes: list[int] = []
    original = model.preprocess
    monkeypatch.setattr(
        model,
        "preprocess",
        lambda inputs, *args, **kwargs: (sizes.append(len(inputs)), original(inputs, *args, **kwargs))[1],
    )
    TextEmbedder(model, batch_size=2).embed(TEXTS, "document")
    assert sizes == [2, 2, 1]


@pytest.mark.parametrize("role", ["query", "document"])
def test_vectors_have_unit_length_unless_told_otherwise(model, task):
    assert np.linalg.norm(TextEmbedder(model).embed(TEXTS, task), axis=1) == pytest.approx(1, abs=1e-5)
    raw = TextEmbedder(model, normalize=False).embed(TEXTS, task)
    assert np.linalg.norm(raw, axis=1).min() > 1.1


@pytest.mark.parametrize("role", ["query", "document"])
def test_a_cut_vector_is_normalized_after_the_cut(model, task):
    cut = TextEmbedder(model, truncate_dim=8).embed(TEXTS, task)
    whole = TextEmbedder(model).embed(TEXTS, task)
    np.testing.assert_allclose(cut, unit(np.asarray(whole)[:, :8]), atol=1e-5)


@pytest.mark.parametrize("role", ["query", "document"])
def test_encode_kwargs_win_over_the_fields(model, task, capsys):
    embedder = TextEmbedder(
        model,
        truncate_dim=8,
        show_progress=True,
        encode_kwargs={"truncate_dim": 4, "normalize_embeddings": False, "show_progress_bar": False},
    )
    vectors = np.asarray(embedder.embed(TEXTS, task))
    assert vectors.shape == (len(TEXTS), 4)
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() > 0.1
    assert "Batches" not in capsys.readouterr().err


def test_a_prompt_name_in_encode_kwargs_wins_over_a_prompt(model):
    embedder = TextEmbedder(model, prompts={"document": "Find: "}, encode_kwargs={"prompt_name": "query"})
    np.testing.assert_allclose(embedder.embed(["a"], "document"), unit(model.encode(["a"], prompt="Q: ")), atol=1e-6)


def test_a_progress_bar_is_drawn_when_asked(model, capsys):
    TextEmbedder(model).embed(TEXTS, "document")
    assert "Batches" not in capsys.readouterr().err
    TextEmbedder(model, show_progress=True).embed(TEXTS, "document")
    assert "Batches" in capsys.readouterr().err


@pytest.mark.parametrize("precision", ["float32", "binary", "ubinary"])
def test_numbers_are_python_floats_that_json_takes(model, precision):
    vectors = TextEmbedder(model, encode_kwargs={"precision": precision}).embed(TEXTS, "document")
    assert {type(number) for vector in vectors for number in vector} == {float}
    assert json.loads(json.dumps(vectors)) == vectors


@pytest.mark.parametrize("precision", ["int8", "uint8"])
def test_a_precision_that_makes_two_calls_incomparable_is_refused(model, precision):
    with pytest.raises(SettingError, match=f"precision='{precision}'.*each call"):
        TextEmbedder(model, encode_kwargs={"precision": precision})


def test_nothing_in_nothing_out(model):
    assert TextEmbedder(model).embed([], "query") == []


def test_a_tuple_and_a_generator_are_lists_too(model):
    embedder = TextEmbedder(model)
    assert embedder.embed(tuple(TEXTS), "query") == embedder.embed(TEXTS, "query")
    assert embedder.embed((text for text in TEXTS), "query") == embedder.embed(TEXTS, "query")


def test_a_bare_string_is_refused(model):
    with pytest.raises(InputError, match=r"'a guitar'.*write \[text\]"):
        TextEmbedder(model).embed("a guitar", "query")


@pytest.mark.parametrize("item", [None, 3, b"bytes", ["a"], {"text": "a"}])
def test_an_item_that_is_no_string_is_named_by_its_index(model, item):
    with pytest.raises(InputError, match=rf"text 1 .*{type(item).__name__}"):
        TextEmbedder(model).embed(["a", item, "b"], "document")


@pytest.mark.parametrize("name", ["convert_to_tensor", "convert_to_numpy", "output_value"])
def test_settings_that_change_what_comes_back_are_refused(model, name):
    with pytest.raises(SettingError, match=name):
        TextEmbedder(model, encode_kwargs={name: True})


@pytest.mark.parametrize("settings", [{"batch_size": 0}, {"truncate_dim": -1}, {"prompts": {"passage": "x"}}])
def test_settings_that_cannot_be_are_refused(model, settings):
    with pytest.raises(SettingError):
        TextEmbedder(model, **settings)


def test_a_vector_that_is_not_finite_is_an_error_of_any_model(build, monkeypatch):
    model = build()
    monkeypatch.setattr(model, "encode_document", lambda texts, **_: np.array([[1.0, 2.0], [np.nan, 0.0]]))
    with pytest.raises(NonFiniteError, match="text 1"):
        TextEmbedder(model).embed(["a", "b"], "document")


def test_a_cut_beyond_the_dimension_is_refused(model):
    with pytest.raises(SettingError, match=r"truncate_dim=999, but the model has \d+ dimensions"):
        TextEmbedder(model, truncate_dim=999).embed(["a"], "query")


async def test_calls_that_wait_leave_the_loops_own_threads_alone(model, monkeypatch):
    inside, free = threading.Event(), threading.Event()
    original = model.encode_query
    monkeypatch.setattr(
        model, "encode_query", lambda *args, **kw: (inside.set(), free.wait(), original(*args, **kw))[2]
    )
    embedder = TextEmbedder(model)
    calls = [asyncio.ensure_future(embedder.aembed([text], "query")) for text in TEXTS * 20]
    while not inside.is_set():
        await asyncio.sleep(0.01)
    # With all of them waiting in the loop's own pool, this would wait too.
    assert await asyncio.wait_for(asyncio.to_thread(lambda: "free"), timeout=5) == "free"
    for call in calls[1:]:
        call.cancel()
    free.set()
    assert await calls[0] == embedder.embed(TEXTS[:1], "query")
    assert all(
        isinstance(error, asyncio.CancelledError) for error in await asyncio.gather(*calls[1:], return_exceptions=True)
    )


def test_an_unknown_role_is_refused(model):
    with pytest.raises(SettingError, match="passage"):
        TextEmbedder(model).embed(["a"], "passage")


def test_an_error_of_the_model_comes_through_at_once(model, monkeypatch):
    calls: list[int] = []

    def failing(*args: object, **kwargs: object) -> None:
        calls.append(1)
        raise RuntimeError("out of memory")

    monkeypatch.setattr(model, "encode_document", failing)
    with pytest.raises(RuntimeError, match="out of memory"):
        TextEmbedder(model).embed(["a"], "document")
    assert calls == [1]


def test_copies_and_pickles_embed_the_same_although_the_model_has_a_lock(model):
    embedder = TextEmbedder(model, truncate_dim=8, prompts={"query": "Find: "})
    expected = embedder.embed(TEXTS, "query")
    for twin in (copy.copy(embedder), copy.deepcopy(embedder), pickle.loads(pickle.dumps(embedder))):
        np.testing.assert_allclose(twin.embed(TEXTS, "query"), expected, atol=1e-6)


def test_one_lock_per_model_object(model):
    assert lock_for(model) is lock_for(model)
    assert lock_for(model) is not lock_for(copy.copy(model))


def test_any_sentence_transformer_will_do(model):
    static = SentenceTransformer(
        modules=[StaticEmbedding(model.tokenizer.backend_tokenizer, embedding_dim=8)], device="cpu"
    )
    embedded = TextEmbedder(static).embed(["a guitar " * 400, "a horse"], "document")
    assert np.asarray(embedded).shape == (2, 8)


@pytest.mark.parametrize("role", ["query", "document"])
def test_a_thousand_texts_are_one_call_and_looked_at_once(model, monkeypatch, task):
    texts = [f"text {number}" for number in range(1000)]
    handed: list[int] = []
    looked_at: list[int] = []
    original = model.encode
    monkeypatch.setattr(model, "encode", lambda inputs, **kw: (handed.append(len(inputs)), original(inputs, **kw))[1])
    for module in ("prompteol.embedder", "prompteol.sentence_transformers"):
        monkeypatch.setattr(f"{module}.check_texts", lambda checked: looked_at.append(len(checked)))
    assert len(TextEmbedder(model).embed(texts, task)) == 1000
    assert handed == looked_at == [1000]


def test_the_model_chooses_its_own_batches(model, monkeypatch):
    seen: list[int] = []
    original = model.preprocess
    monkeypatch.setattr(
        model, "preprocess", lambda texts, *a, **kw: (seen.append(len(texts)), original(texts, *a, **kw))[1]
    )
    TextEmbedder(model).embed([f"text {number}" for number in range(600)], "document")
    assert max(seen) == (256 if type(model).__name__ == "PromptEOL" else 32)


def test_embedding_reads_no_weights_for_a_fingerprint(model, monkeypatch):
    monkeypatch.setattr("prompteol.saving.fingerprint", None)
    assert TextEmbedder(model).embed(["a"], "query")
