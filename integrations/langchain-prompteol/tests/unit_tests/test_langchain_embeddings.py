"""What neither LangChain's suite nor tests/others/test_adapters.py asks: settings, pickles, indexes."""

from __future__ import annotations

import pytest

pytest.importorskip("langchain_core")
import copy
import json
import pickle

import numpy as np
import torch
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_prompteol import PromptEOLEmbeddings
from pydantic import ValidationError

from prompteol.embedder import check_index, index_metadata
from prompteol.errors import IndexMismatchError, InputError, SettingError
from prompteol.prompts import resolve_template
from small_models import base_model_folder, stock_model

TEXTS = ["a guitar", "a horse\nin the snow", "", "The president is riding a horse and playing a guitar.", "two dogs"]
MODEL_KWARGS = {"device": "cpu", "prompts": {"query": "Q: ", "document": "D: "}}


def by_name(**fields):
    return PromptEOLEmbeddings(model=base_model_folder(), model_kwargs=MODEL_KWARGS, **fields)


def wrap(model, **fields):
    return PromptEOLEmbeddings.from_sentence_transformer(model, **fields)


def unit(vectors):
    array = np.asarray(vectors, dtype=np.float64)
    return array / np.linalg.norm(array, axis=-1, keepdims=True)


def both_tasks(embeddings):
    return np.asarray([*embeddings.embed_documents(TEXTS), *(embeddings.embed_query(text) for text in TEXTS)])


def differ(first, second):
    return np.abs(np.subtract(first, second)).max() > 1e-3


def test_retrieval_templates_reach_the_model():
    embeddings = PromptEOLEmbeddings(
        model=base_model_folder(), model_kwargs={"template": "promptreps", "device": "cpu"}
    )
    np.testing.assert_allclose(embeddings.embed_query("a"), unit(embeddings.client.encode_query("a")), atol=1e-5)
    assert differ(embeddings.embed_query("a"), embeddings.embed_documents(["a"])[0])


def test_query_encode_kwargs_are_merged_over_encode_kwargs(model):
    embeddings = wrap(model, encode_kwargs={"truncate_dim": 8}, query_encode_kwargs={"prompt": "Find: "})
    assert len(embeddings.embed_documents(["a"])[0]) == 8
    expected = unit(model.encode("a", prompt="Find: ", truncate_dim=8))
    np.testing.assert_allclose(embeddings.embed_query("a"), expected, atol=1e-5)
    assert len(wrap(model, query_encode_kwargs={"truncate_dim": 4}).embed_documents(["a"])[0]) == 32


def test_encode_kwargs_may_repeat_what_a_field_says(model, capsys):
    embeddings = wrap(model, show_progress=True, encode_kwargs={"show_progress_bar": False, "batch_size": 2})
    assert len(embeddings.embed_documents(TEXTS)) == len(TEXTS)
    assert "Batches" not in capsys.readouterr().err


def test_batch_size_and_progress_reach_the_model(model, monkeypatch):
    seen = []
    original = model.encode_document
    monkeypatch.setattr(model, "encode_document", lambda texts, **kw: (seen.append(kw), original(texts, **kw))[1])
    wrap(model, batch_size=3, show_progress=True).embed_documents(TEXTS)
    assert (seen[0]["batch_size"], seen[0]["show_progress_bar"]) == (3, True)


@pytest.mark.parametrize("precision", ["float32", "ubinary"])
def test_numbers_are_python_floats_that_json_takes(model, precision):
    embeddings = wrap(model, encode_kwargs={"precision": precision})
    vectors = [*embeddings.embed_documents(TEXTS), embeddings.embed_query("a")]
    assert {type(number) for vector in vectors for number in vector} == {float}
    assert json.loads(json.dumps(vectors)) == vectors


def test_what_is_no_list_of_texts_is_refused(model):
    embeddings = wrap(model)
    with pytest.raises(InputError, match="not a list of strings"):
        embeddings.embed_documents("a guitar")
    with pytest.raises(InputError, match="text 0"):
        embeddings.embed_query(3)


@pytest.mark.parametrize(
    "fields", [{"encode_kwargs": {"convert_to_tensor": True}}, {"query_encode_kwargs": {"output_value": None}}]
)
def test_settings_that_change_what_comes_back_are_refused_at_once(model, fields):
    with pytest.raises(SettingError, match="lists of floats"):
        wrap(model, **fields)


@pytest.mark.parametrize("fields", [{"batch_size": 0}, {"truncate_dim": 0}, {"multi_process": True}, {"normalize": 1}])
def test_fields_are_checked(model, fields):
    with pytest.raises(ValidationError):
        wrap(model, **fields)


def test_a_pickle_by_name_is_small_and_keeps_every_field():
    embeddings = by_name(
        truncate_dim=8,
        query_prompt="Find: ",
        document_prompt="",
        normalize_embeddings=False,
        batch_size=3,
        encode_kwargs={"show_progress_bar": False},
        query_encode_kwargs={"truncate_dim": 4},
        show_progress=True,
    )
    pickled = pickle.dumps(embeddings)
    assert len(pickled) < 2500
    copied = pickle.loads(pickled)
    assert copied.model_dump() == embeddings.model_dump()
    assert copied.client is not embeddings.client
    np.testing.assert_allclose(copied.embed_documents(TEXTS), embeddings.embed_documents(TEXTS), atol=1e-6)
    np.testing.assert_allclose(copied.embed_query("a"), embeddings.embed_query("a"), atol=1e-6)


def test_a_pickle_holds_the_prompt_and_the_model_that_embed_now():
    embeddings = by_name()
    embeddings.client.set_template(resolve_template("pretended-cot"))
    copied = pickle.loads(pickle.dumps(embeddings))
    np.testing.assert_allclose(both_tasks(copied), both_tasks(embeddings), atol=1e-6)
    assert differ(both_tasks(copied), both_tasks(by_name()))
    embeddings.client = stock_model(seed=1)
    copied = pickle.loads(pickle.dumps(embeddings))
    np.testing.assert_allclose(both_tasks(copied), both_tasks(embeddings), atol=1e-6)


def train(model):
    with torch.no_grad():
        model.module.transformer.model.norm.weight.mul_(torch.linspace(0.5, 1.5, 32))


def another_norm(model):
    model.transformers_model.layers[0].input_layernorm.variance_epsilon = 5.0


@pytest.mark.parametrize("change", [train, another_norm, lambda model: model.prompts.update(query="Other: ")])
def test_a_pickle_holds_a_model_that_was_changed_in_place(change):
    embeddings = by_name()
    embeddings.embed_query("so that an engine exists")
    change(embeddings.client)
    copied = pickle.loads(pickle.dumps(embeddings))
    np.testing.assert_allclose(both_tasks(copied), both_tasks(embeddings), atol=1e-6)
    assert differ(both_tasks(copied), both_tasks(by_name()))


def test_an_embedder_that_was_used_is_still_pickled_by_name_until_it_is_changed():
    embeddings = by_name()
    embeddings.embed_documents(TEXTS)
    other = torch.nn.Linear(2, 2)
    torch.optim.SGD(other.parameters(), lr=0.1).step()
    for same in (embeddings, copy.deepcopy(embeddings), embeddings.model_copy(deep=True)):
        assert len(pickle.dumps(same)) < 2500
    embeddings.client.max_seq_length = 40
    assert pickle.loads(pickle.dumps(embeddings)).client.max_seq_length == 40


def test_a_dump_builds_the_same_embeddings_and_is_json():
    embeddings = by_name(truncate_dim=8, query_prompt="Find: ")
    dump = json.loads(json.dumps(embeddings.model_dump()))
    np.testing.assert_allclose(both_tasks(PromptEOLEmbeddings(**dump)), both_tasks(embeddings), atol=1e-6)


def test_the_object_in_memory_is_shared_and_stays_out_of_dumps_and_repr(model):
    embeddings = wrap(model, model_name="mine")
    assert embeddings.client is model
    assert "client" not in embeddings.model_dump()
    assert "Transformer" not in repr(embeddings)
    assert embeddings.model_name == "mine"


def edit(model):
    with torch.no_grad():
        next(model.parameters()).mul_(1.01)


CHANGES = {
    "template": lambda embeddings: embeddings.client.set_template(resolve_template("pretended-cot")),
    "layer": lambda embeddings: embeddings.client.set_template(embeddings.client.template, layer=-2),
    "weights": lambda embeddings: edit(embeddings.client),
    "max_seq_length": lambda embeddings: setattr(embeddings.client, "max_seq_length", 40),
    "saved prompt": lambda embeddings: embeddings.client.prompts.update(document="Another: "),
    "truncate_dim": lambda embeddings: setattr(embeddings, "truncate_dim", 8),
    "normalize": lambda embeddings: setattr(embeddings, "normalize_embeddings", False),
    "query prompt": lambda embeddings: setattr(embeddings, "query_prompt", "Find: "),
    "document prompt": lambda embeddings: setattr(embeddings, "document_prompt", "Read: "),
    "encode_kwargs": lambda embeddings: setattr(
        embeddings, "encode_kwargs", {"processing_kwargs": {"text": {"max_length": 24}}}
    ),
    "query_encode_kwargs": lambda embeddings: setattr(embeddings, "query_encode_kwargs", {"truncate_dim": 8}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_index_of_what_these_were_before_a_change_is_refused(change, tmp_path):
    embeddings = by_name()
    metadata = index_metadata(embeddings)
    path = tmp_path / "notes.json"
    InMemoryVectorStore.from_texts(["a", "b"], embeddings.for_index(path)).dump(str(path))
    guarded = embeddings.for_index(path)
    change(embeddings)
    if guarded.fingerprint != embeddings.fingerprint:
        change(guarded)
    with pytest.raises(IndexMismatchError):
        check_index(metadata, embeddings)
    with pytest.raises(IndexMismatchError, match="build the index again"):
        embeddings.for_index(path)
    with pytest.raises(IndexMismatchError, match="build the index again"):
        InMemoryVectorStore.load(str(path), guarded).similarity_search("a")
    store = InMemoryVectorStore.load(str(path), by_name().for_index(path))
    assert len(store.similarity_search("a", k=1)) == 1


def test_the_dimension_is_that_of_the_vectors(model, tmp_path):
    assert wrap(model, truncate_dim=8).dimension == 8
    with pytest.raises(IndexMismatchError, match="16 dimensions, and this embedder returns 32"):
        wrap(model).for_index(tmp_path, dimension=16)
