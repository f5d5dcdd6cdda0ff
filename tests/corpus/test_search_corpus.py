"""``search_corpus`` finds the texts with the largest cosine, whatever the corpus is stored as."""

import json

import numpy as np
import pytest

import prompteol
from prompteol import PromptEOL
from prompteol.corpus.embed import _kinds_of
from prompteol.errors import CorpusError, IndexMismatchError, InputError, SettingError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PROMPTEOL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "corpora"


def cosines(model, questions, texts):
    one = model.encode_query(questions, normalize_embeddings=True)
    return one @ model.encode_document(texts, normalize_embeddings=True).T


def test_the_nearest_texts_of_files_in_order(model, corpus_file, texts, cache):
    questions = ["Sentence 12 of a corpus", "and so on"]
    found = prompteol.search_corpus(questions, corpus_file, model=model, k=4)
    expected = cosines(model, questions, texts)

    for hits, scores in zip(found, expected, strict=True):
        np.testing.assert_allclose([hit.score for hit in hits], np.sort(scores)[::-1][:4], atol=1e-5)
        assert [hit.text for hit in hits] == [texts[hit.row] for hit in hits]
    assert len(list(cache.iterdir())) == 1


def test_files_are_embedded_once_and_again_when_they_change(model, corpus_file, cache):
    prompteol.search_corpus("x", corpus_file, model=model)
    stamps = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    moved = corpus_file.rename(corpus_file.with_name("moved.jsonl"))
    prompteol.search_corpus("y", moved, model=model)
    assert stamps == {path: path.stat().st_mtime_ns for path in cache.rglob("*")}

    moved.write_text(moved.read_text() + json.dumps({"id": "new", "text": "brand new"}) + "\n")
    (hits,) = prompteol.search_corpus("brand new", moved, model=model, k=131)
    assert "brand new" in [hit.text for hit in hits]
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize("precision", ["float32", "float16", "int8", "ubinary"])
@pytest.mark.parametrize("output_format", ["parquet", "npy"])
def test_a_corpus_of_any_precision(model, corpus_file, texts, tmp_path, precision, output_format):
    out = tmp_path / "out"
    prompteol.embed_corpus(
        model, corpus_file, out, keep=["id", "text"], shard_rows=40, precision=precision, output_format=output_format
    )
    (hits,) = prompteol.search_corpus(texts[77], out, model=model, k=3)
    scores = cosines(model, [texts[77]], texts)[0]

    assert hits[0].id == f"doc-{hits[0].row}"
    if precision != "ubinary":
        np.testing.assert_allclose([hit.score for hit in hits], np.sort(scores)[::-1][:3], atol=2e-2)
        assert hits[0].text == texts[77]


def test_blocks_and_faiss_give_what_one_product_gives(model, corpus_file, texts, tmp_path, monkeypatch):
    pytest.importorskip("faiss")
    prompteol.embed_corpus(model, corpus_file, tmp_path / "out", shard_rows=50)
    monkeypatch.setattr("prompteol.corpus.search._BLOCK_ROWS", 7)
    by_numpy = prompteol.search_corpus(texts[:3], tmp_path / "out", model=model, k=9)
    monkeypatch.setattr("prompteol.corpus.search._LARGE", 1)
    by_faiss = prompteol.search_corpus(texts[:3], tmp_path / "out", model=model, k=9)

    for one, other in zip(by_numpy, by_faiss, strict=True):
        np.testing.assert_allclose([hit.score for hit in one], [hit.score for hit in other], atol=1e-6)


def test_another_model_is_refused_with_both_named(model, base, corpus_file, tmp_path):
    prompteol.embed_corpus(model, corpus_file, tmp_path / "out")
    other = PromptEOL(base, device="cpu", template='The topic of "{text}" is:"')

    with pytest.raises(IndexMismatchError) as error:
        prompteol.search_corpus("x", tmp_path / "out", model=other)
    assert model.fingerprint() in str(error.value)
    assert other.fingerprint() in str(error.value)


def test_what_cannot_be_searched(model, corpus_file):
    with pytest.raises(SettingError, match="k=0"):
        prompteol.search_corpus("x", corpus_file, model=model, k=0)
    with pytest.raises(CorpusError, match="embed a pipe"):
        prompteol.search_corpus("x", "-", model=model)


@pytest.mark.parametrize("question", ["", "  ", ["fine", "\n"], []])
def test_no_question_is_refused(static, corpus_file, question):
    with pytest.raises(InputError, match="is no question; give one or more, in words"):
        prompteol.search_corpus(question, corpus_file, model=static)


@pytest.mark.parametrize("damage", ["cut", "empty", "gone", "middle"])
@pytest.mark.parametrize("name", ["shard-000001.parquet", "shard-000001.npy", "shard-000001.ids.jsonl"])
def test_a_damaged_corpus_is_named_in_one_line(static, corpus_file, tmp_path, name, damage):
    """Also one of the cache, which the message says how to be rid of."""
    out = tmp_path / "out"
    output_format = "parquet" if name.endswith("parquet") else "npy"
    prompteol.embed_corpus(static, corpus_file, out, keep=["text"], shard_rows=50, output_format=output_format)
    content = (out / name).read_bytes()
    if damage == "middle" and name.endswith("npy"):
        pytest.skip("numbers hold no check")
    half = len(content) // 2
    (out / name).write_bytes(
        {"cut": content[:half], "empty": b""}.get(damage, content[: half - 9] + b"\xff" * len(content))
    )
    if damage == "gone":
        (out / name).unlink()

    said = r"cannot read '.*shard-000001|shard-000001\..* is damaged or gone .* embed it again"
    with pytest.raises(CorpusError, match=said) as error:
        prompteol.search_corpus("x", out, model=static, k=130)
    assert "\n" not in str(error.value)


def test_a_damaged_value_of_a_kept_column_is_named(static, tmp_path):
    """Values that no type of a column holds are kept as JSON."""
    rows = [{"text": "one", "id": {"a": 1}}, {"text": "two", "id": {"a": 2}}]
    corpus = prompteol.embed_corpus(static, rows, tmp_path / "out", keep=["id"], output_format="npy")
    assert corpus.ids == [{"a": 1}, {"a": 2}]
    sidecar = tmp_path / "out" / "shard-000000.ids.jsonl"
    sidecar.write_text(sidecar.read_text().replace("{\\", "[\\"))
    with pytest.raises(CorpusError, match="is damaged or gone"):
        _ = prompteol.open_corpus(tmp_path / "out").ids


def test_devices_of_two_kinds_are_both_recorded():
    assert [_kinds_of(one) for one in ([None], ["cpu"], ["cuda:0", "cuda:1"], ["cuda:0", "cpu"])] == [
        None, None, None, "cpu and cuda",
    ]  # fmt: skip
