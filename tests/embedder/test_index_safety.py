"""An index that another model built is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prompteol import PromptEOL, fingerprint
from prompteol.embedder import TextEmbedder
from prompteol.embedder.index_safety import METADATA_KEY, check_index, guard_index, index_metadata, stamp_index
from prompteol.errors import IndexMismatchError, SettingError
from prompteol.prompts import resolve_template
from small_models import base_model_folder, prompteol_model


@pytest.fixture(scope="module")
def other(build) -> TextEmbedder:
    return TextEmbedder(build(seed=1))


def test_metadata_holds_the_models_fingerprint(model):
    assert index_metadata(TextEmbedder(model)) == {METADATA_KEY: fingerprint(model)} == index_metadata(model)


@pytest.mark.parametrize(
    "form",
    [
        lambda metadata: metadata,
        lambda metadata: metadata[METADATA_KEY],
        lambda metadata: {"hnsw:space": "cosine", **metadata},
        lambda metadata: {key.encode(): value.encode() for key, value in metadata.items()},
    ],
)
def test_the_model_that_built_the_index_may_query_it(build, model, other, form):
    stored = form(index_metadata(model))
    check_index(stored, TextEmbedder(model))
    check_index(stored, build(query="Q: ", document="D: "))
    with pytest.raises(IndexMismatchError) as caught:
        check_index(stored, other)
    assert fingerprint(model) in str(caught.value)
    assert other.fingerprint in str(caught.value)


@pytest.mark.parametrize("stored", [None, {}, {"hnsw:space": "cosine"}])
def test_an_index_of_unknown_origin_is_refused(other, stored):
    with pytest.raises(IndexMismatchError, match=METADATA_KEY):
        check_index(stored, other)


@pytest.mark.parametrize(
    "settings", [{"template": "pretended-cot"}, {"demonstrations": [("Two dogs run.", "Dogs")]}, {"layer": -2}]
)
def test_another_template_demonstration_or_layer_is_another_model(settings):
    with pytest.raises(IndexMismatchError):
        check_index(index_metadata(PromptEOL(base_model_folder())), PromptEOL(base_model_folder(), **settings))


WHAT_TO_DO = r"Load the model that built it with the settings of that time, or build the index again"


def edit(embedder: TextEmbedder) -> None:
    with torch.no_grad():
        next(embedder.model.parameters()).mul_(1.01)


CHANGES = {
    "template": lambda embedder: embedder.model.set_template(resolve_template("pretended-cot")),
    "layer": lambda embedder: embedder.model.set_template(embedder.model.template, layer=-2),
    "weights": edit,
    "max_seq_length": lambda embedder: setattr(embedder.model, "max_seq_length", 40),
    "saved prompt": lambda embedder: embedder.model.prompts.update(query="Another: "),
    "the model's cut": lambda embedder: setattr(embedder.model, "truncate_dim", 4),
    "truncate_dim": lambda embedder: setattr(embedder, "truncate_dim", 8),
    "normalize": lambda embedder: setattr(embedder, "normalize", False),
    "query prompt": lambda embedder: setattr(embedder, "prompts", {"query": "Find: "}),
    "document prompt": lambda embedder: setattr(embedder, "prompts", {"document": ""}),
    "precision": lambda embedder: setattr(embedder, "encode_kwargs", {"precision": "binary"}),
    "max_length": lambda embedder: setattr(
        embedder, "encode_kwargs", {"processing_kwargs": {"text": {"max_length": 24}}}
    ),
    "query cut": lambda embedder: setattr(embedder, "query_encode_kwargs", {"truncate_dim": 8}),
}


def filled(folder: Path) -> Path:
    (folder / "vectors").write_text("vectors")
    return folder


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_in_place_is_another_embedder(tmp_path, change):
    embedder = TextEmbedder(prompteol_model(query="Q: ", document="D: "))
    guard_index(tmp_path, embedder)
    guard_index(filled(tmp_path), embedder)
    bound = embedder.for_index(tmp_path)
    bound.embed(["a"], "document")
    for changed in (embedder, bound):
        change(changed)
    with pytest.raises(IndexMismatchError, match=WHAT_TO_DO):
        guard_index(tmp_path, embedder)
    with pytest.raises(IndexMismatchError, match=WHAT_TO_DO):
        bound.embed(["a"], "query")


def test_one_weight_of_thousands_is_another_model(tmp_path):
    embedder = TextEmbedder(prompteol_model())
    guard_index(tmp_path, embedder)
    filled(tmp_path)
    with torch.no_grad():
        next(embedder.model.parameters()).view(-1)[7] += 1
    with pytest.raises(IndexMismatchError, match=WHAT_TO_DO):
        guard_index(tmp_path, embedder)


@settings(max_examples=10)
@given(names=st.lists(st.sampled_from(sorted(CHANGES)), min_size=1, max_size=3, unique=True))
def test_whatever_changes_an_index_is_refused_and_what_built_it_is_taken(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("index")
    embedder = TextEmbedder(prompteol_model(query="Q: ", document="D: "))
    for name in names:
        CHANGES[name](embedder)
    guard_index(folder, embedder)
    guard_index(filled(folder), embedder)
    with pytest.raises(IndexMismatchError, match=WHAT_TO_DO):
        guard_index(folder, TextEmbedder(prompteol_model(query="Q: ", document="D: ")))
    twin = TextEmbedder(prompteol_model(query="Q: ", document="D: "))
    for name in names:
        CHANGES[name](twin)
    guard_index(folder, twin)


@pytest.mark.parametrize(
    "fields",
    [
        {"batch_size": 3},
        {"show_progress": True},
        {"prompts": {"query": None, "document": "D: "}},
        {"encode_kwargs": {"chunk_size": 7, "normalize_embeddings": True}},
    ],
)
def test_what_does_not_change_vectors_does_not_change_the_fingerprint(model, fields):
    assert TextEmbedder(model, **fields).fingerprint == fingerprint(model)


def test_a_folder_that_nobody_stamped_is_refused_until_somebody_vouches_for_it(model, other, tmp_path):
    with pytest.raises(IndexMismatchError, match=r"nothing says which model built it.*stamp_index"):
        guard_index(filled(tmp_path), model)
    stamp_index(tmp_path, model)
    guard_index(tmp_path, model)
    with pytest.raises(IndexMismatchError, match=WHAT_TO_DO):
        guard_index(tmp_path, other)


def test_a_stamp_without_an_index_binds_nobody(model, other, tmp_path):
    guard_index(tmp_path / "new", model)
    guard_index(tmp_path / "new", other)
    filled(tmp_path / "new")
    with pytest.raises(IndexMismatchError):
        guard_index(tmp_path / "new", model)


def test_an_index_of_one_file_is_stamped_beside_it(model, other, tmp_path):
    index = tmp_path / "notes.json"
    guard_index(index, model)
    assert not index.exists()
    index.write_text("{}")
    guard_index(str(index), model)
    with pytest.raises(IndexMismatchError):
        guard_index(index, other)


def test_a_file_without_a_suffix_and_the_current_folder_are_indexes_too(model, other, tmp_path, monkeypatch):
    (tmp_path / "index").write_text("vectors")
    stamp_index(tmp_path / "index", model)
    guard_index(tmp_path / "index", model)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    guard_index(".", model)
    filled(tmp_path / "here")
    for index in (".", tmp_path / "index"):
        with pytest.raises(IndexMismatchError):
            guard_index(index, other)


def test_names_tell_apart_what_lies_in_one_folder(model, other, tmp_path):
    guard_index(tmp_path, model, name="ours")
    filled(tmp_path)
    guard_index(tmp_path, other, name="theirs")
    guard_index(tmp_path, model, name="ours")
    for name, wrong in (("ours", other), ("theirs", model)):
        with pytest.raises(IndexMismatchError, match=name):
            guard_index(tmp_path, wrong, name=name)
    with pytest.raises(IndexMismatchError, match="name="):
        guard_index(tmp_path, model)


def test_a_stamp_of_the_whole_folder_holds_for_every_name(model, other, tmp_path):
    guard_index(tmp_path, model)
    guard_index(filled(tmp_path), model, name="notes")
    with pytest.raises(IndexMismatchError):
        guard_index(tmp_path, other, name="more notes")


@pytest.mark.parametrize("content", ["", "[1]", "{", json.dumps("x")])
def test_a_damaged_stamp_is_said_to_be_damaged(model, tmp_path, content):
    guard_index(tmp_path, model)
    filled(tmp_path).joinpath("prompteol-index.json").write_text(content)
    with pytest.raises(IndexMismatchError, match="damaged"):
        guard_index(tmp_path, model)


@pytest.mark.parametrize("index", ["db://notes", "https://example.org/index", ":memory:", 3, None])
def test_what_holds_no_stamp_is_refused(model, index):
    with pytest.raises(SettingError, match=r"index_metadata\(embedder\)"):
        guard_index(index, model)


def test_a_folder_that_cannot_be_written_is_one_line(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingError, match="no fingerprint can be stored"):
        guard_index(tmp_path / "file" / "index", model)


def test_an_index_of_another_dimension_is_named(model, tmp_path):
    guard_index(tmp_path, TextEmbedder(model, truncate_dim=8), dimension=8)
    for embedder in (TextEmbedder(model, truncate_dim=8), TextEmbedder(model).model):
        with pytest.raises(IndexMismatchError, match=r"made for vectors of 16 dimensions, and this .* returns \d+"):
            guard_index(tmp_path, embedder, dimension=16)
    with pytest.raises(IndexMismatchError, match="16 dimensions"):
        TextEmbedder(model).for_index(tmp_path, dimension=16)
