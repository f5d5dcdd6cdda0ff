"""A student learns a teacher's vectors: kept once computed, and brought to its dimension."""

import shutil
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from prompteol import PromptEOL
from prompteol.data import TrainingExamples
from prompteol.errors import TrainingError
from prompteol.training import combine_teachers, fit_dimension, teacher_vectors, train
from prompteol.training.inputs import query_places
from prompteol.training.losses import DistillationLoss


@pytest.fixture(scope="session")
def teacher(tiny, tmp_path_factory) -> str:
    """A stock model with vectors of 48 numbers; the student's have 32."""
    folder = tmp_path_factory.mktemp("teacher")
    PromptEOL(tiny("llama", hidden_size=48), device="cpu").save_pretrained(folder)
    return str(folder)


@pytest.fixture
def distilled(quick):
    return replace(quick, objective="distillation", lora=None, epochs=6, warmup_steps=2, eval_steps=50)


def cosines(vectors):
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units @ units.T


def test_the_student_comes_to_see_as_the_teacher_does(tiny, tmp_path, texts, distilled, teacher):
    rows = list(texts.columns["text"])
    wanted = cosines(SentenceTransformer(teacher, device="cpu").encode(rows))
    before = np.abs(cosines(PromptEOL(tiny("llama"), device="cpu").encode(rows)) - wanted).mean()
    done = train(tiny("llama"), tmp_path / "out", texts, distilled, teacher=teacher, device="cpu")
    after = np.abs(cosines(done.model.encode(rows)) - wanted).mean()
    assert after < 0.5 * before
    assert f"Teacher: `{teacher}`" in (tmp_path / "out" / "README.md").read_text()


def test_the_loss_is_what_it_says(tiny, texts, distilled):
    model = PromptEOL(tiny("llama"), device="cpu").train()
    rows = list(texts.columns["text"][:6])
    targets = fit_dimension(np.random.default_rng(1).normal(size=(6, 40)), 32, seed=0)
    labels = torch.tensor([3, 1, 0, 2, 5, 4])
    loss = DistillationLoss(model, targets, replace(distilled, similarity_weight=7.0))
    got = loss([model.preprocess(rows)], labels).item()

    students, teachers = model.encode(rows), targets.astype(np.float16).astype(np.float32)[labels]
    pairwise = [cosines(np.stack(pair))[0, 1] for pair in zip(students, teachers, strict=True)]
    expected = 1 - np.mean(pairwise) + 7 * np.mean((cosines(students) - cosines(teachers)) ** 2)
    assert abs(got - expected) < 1e-5 * expected


def test_the_teacher_embeds_once(texts, teacher, tmp_path):
    rows, kept = list(texts.columns["text"]), tmp_path / "teacher.safetensors"
    seen = []

    def progress(label, total, unit="texts"):
        assert (label, total) == ("teacher", 64)
        return nullcontext(seen.append)

    first = teacher_vectors(teacher, rows, kept, device="cpu", progress=progress)
    assert sum(seen) == 64
    assert first.dtype == np.float16
    again = teacher_vectors(teacher, rows, kept, device="cpu", progress=lambda *_: pytest.fail("computed again"))
    assert np.array_equal(first, again)
    other = teacher_vectors(teacher, rows[::-1], kept, device="cpu")
    assert np.abs(other[::-1].astype(float) - first).max() < 1e-2


def test_loaded_teachers_are_told_apart(tiny, texts, tmp_path):
    rows, kept = list(texts.columns["text"]), tmp_path / "teacher.safetensors"
    one, other = (PromptEOL(tiny("llama", hidden_size=size), device="cpu") for size in (48, 64))
    assert teacher_vectors(one, rows, kept).shape == (64, 48)
    assert teacher_vectors(other, rows, kept).shape == (64, 64)


def test_a_teacher_that_was_overwritten_embeds_again(tiny, texts, tmp_path):
    rows, kept, folder = list(texts.columns["text"]), tmp_path / "teacher.safetensors", tmp_path / "teacher"
    found = []
    for seed in (0, 1):
        PromptEOL(tiny("llama", hidden_size=48, seed=seed), device="cpu").save_pretrained(folder)
        found.append(teacher_vectors(folder, rows, kept, device="cpu"))
        expected = SentenceTransformer(str(folder), device="cpu").encode(rows, normalize_embeddings=True)
        assert np.abs(found[-1] - expected).max() < 2e-3
        shutil.rmtree(folder)
    assert np.abs(found[0] - found[1]).max() > 0.05


@pytest.mark.parametrize("kind", ["model", "vectors"])
def test_a_training_is_not_resumed_with_another_teacher_of_the_same_name(tiny, texts, tmp_path, distilled, kind):
    teacher = tmp_path / ("teacher" if kind == "model" else "teacher.npy")
    recipe = replace(distilled, epochs=1)

    def learn(seed, **options):
        if kind == "model":
            shutil.rmtree(teacher, ignore_errors=True)
            PromptEOL(tiny("llama", hidden_size=48, seed=seed), device="cpu").save_pretrained(teacher)
        else:
            np.save(teacher, np.random.default_rng(seed).normal(size=(64, 20)))
        train(tiny("llama"), tmp_path / "out", texts, recipe, teacher=teacher, device="cpu", **options)

    learn(0)
    learn(0, resume=True)
    with pytest.raises(TrainingError, match=r"holds another training: its teacher was .*fingerprint"):
        learn(1, resume=True)


def test_vectors_that_somebody_computed(tiny, texts, tmp_path, distilled):
    rows = np.random.default_rng(0).normal(size=(64, 20)).astype(np.float32)
    np.save(tmp_path / "vectors.npy", rows)
    out = tmp_path / "out"
    done = train(
        tiny("llama"), out, texts, replace(distilled, epochs=1), teacher=tmp_path / "vectors.npy", device="cpu"
    )
    assert len([point for point in done.curve if point.loss is not None]) == 4
    assert not (out / "teacher.safetensors").exists()
    with pytest.raises(TrainingError, match=r"shape \(63, 20\); expected 64 rows"):
        teacher_vectors(rows[:63], texts.columns["text"], tmp_path / "kept")
    rows[5, 3] = np.nan
    with pytest.raises(TrainingError, match="row 5 holds NaN"):
        teacher_vectors(rows, texts.columns["text"], tmp_path / "kept")


@pytest.mark.parametrize("dimension", [8, 24, 64])
def test_another_dimension_keeps_the_cosines(dimension):
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(200, 6)) @ generator.normal(size=(6, 24)) + 0.001 * generator.normal(
        size=(200, 24)
    )
    fitted = fit_dimension(vectors, dimension, seed=1)
    assert fitted.shape == (200, dimension)
    assert np.allclose(np.linalg.norm(fitted, axis=1), 1, atol=1e-5)
    assert np.abs(cosines(fitted) - cosines(vectors)).max() < 1e-2
    assert np.array_equal(fitted, fit_dimension(vectors, dimension, seed=1))
    # Six directions hold everything; turned, no six dimensions do.
    spread = np.sort((fitted**2).mean(axis=0))[::-1]
    assert spread[: min(6, dimension)].sum() < 0.97


@pytest.mark.parametrize("how", ["concatenate", "average"])
def test_several_teachers_become_one(how):
    """Two that see the same up to a rotation and noise are seen better together than either alone."""
    generator = np.random.default_rng(0)
    truth = generator.normal(size=(300, 12))
    seen = [
        truth @ np.linalg.qr(generator.normal(size=(width, 12)))[0].T + 0.3 * generator.normal(size=(300, width))
        for width in (40, 24)
    ]
    together = fit_dimension(combine_teachers(seen, how, 12, seed=1), 12, seed=1)
    wanted = cosines(truth)

    def error(vectors):
        return np.abs(cosines(np.asarray(vectors, dtype=np.float64)) - wanted).mean()

    assert together.shape == (300, 12)
    assert error(together) < min(error(fit_dimension(one, 12, seed=1)) for one in seen)
    assert combine_teachers(seen[:1], how, 12, seed=1) is seen[0]


def test_concatenated_the_cosine_is_the_mean_of_the_cosines():
    generator = np.random.default_rng(0)
    seen = [generator.normal(size=(20, width)) * 5 for width in (8, 30)]
    together = combine_teachers(seen, "concatenate", 16, seed=1)
    assert np.abs(cosines(together.astype(float)) - np.mean(list(map(cosines, seen)), axis=0)).max() < 2e-3


def test_a_student_learns_from_several_teachers(tiny, texts, tmp_path, distilled, teacher):
    other = np.random.default_rng(0).normal(size=(64, 20)).astype(np.float32)
    out = tmp_path / "out"
    recipe = replace(distilled, epochs=1, combine="average")
    train(tiny("llama"), out, texts, recipe, teacher=[teacher, other], device="cpu")
    assert (out / "teacher.safetensors").is_file()
    assert not (out / "teacher-2.safetensors").exists()
    assert f"Teacher: `{teacher}`, fingerprint" in (out / "README.md").read_text()
    assert "`given vectors`" in (out / "README.md").read_text()
    recipe = replace(recipe, combine="concatenate")
    with pytest.raises(TrainingError, match="its combine was 'average', now it is 'concatenate'"):
        train(tiny("llama"), out, texts, recipe, teacher=[teacher, other], device="cpu", resume=True)


def test_a_folder_keeps_vectors_by_content(tiny, texts, teacher, tmp_path, monkeypatch):
    monkeypatch.setattr("prompteol.training.teacher._PIECE", 24)
    rows, kept = list(texts.columns["text"]), tmp_path / "vectors"
    first = teacher_vectors(teacher, rows, kept, device="cpu")
    assert len(list(kept.iterdir())) == 3
    moved = tmp_path / "moved"
    shutil.copytree(teacher, moved)
    refuse = lambda *_: pytest.fail("computed again")  # noqa: E731
    assert np.array_equal(teacher_vectors(moved, rows[24:48], kept, device="cpu", progress=refuse), first[24:48])
    teacher_vectors(teacher, rows[1:], kept, device="cpu")
    assert len(list(kept.iterdir())) == 6
    PromptEOL(tiny("llama", hidden_size=48, seed=1), device="cpu").save_pretrained(moved)
    assert np.abs(teacher_vectors(moved, rows[:24], kept, device="cpu").astype(float) - first[:24]).max() > 0.05


@pytest.fixture
def passages(texts) -> TrainingExamples:
    """Two rows of three are sentences, and one is a passage and what asks for it."""
    rows = list(texts.columns["text"])
    queries = [f"Who {text.split()[-1]}" if place % 3 == 0 else "" for place, text in enumerate(rows)]
    return TrainingExamples({"text": rows, "query": queries}, "passages")


def test_passages_are_learned_as_passages(tiny, tmp_path, passages, distilled, teacher):
    """The query in the query's prompt, next to its passage in the passage's."""
    asked = list(filter(None, passages.columns["query"]))
    rows = [*passages.columns["text"], *asked]
    model = PromptEOL(tiny("llama"), template="promptreps", device="cpu")

    def embedded():
        return np.concatenate([model.encode_document(passages.columns["text"]), model.encode_query(asked)])

    wanted = cosines(SentenceTransformer(teacher, device="cpu").encode(rows))
    before = np.abs(cosines(embedded()) - wanted).mean()
    train(model, tmp_path / "out", passages, distilled, teacher=teacher)
    assert np.abs(cosines(embedded()) - wanted).mean() < 0.7 * before


def test_the_loss_of_a_batch_with_queries(tiny, passages, distilled):
    model = PromptEOL(tiny("llama"), device="cpu").train()
    places = query_places(passages)
    assert places[:7] == [0, -1, -1, 1, -1, -1, 2]
    targets = fit_dimension(np.random.default_rng(1).normal(size=(64 + 22, 40)), 32, seed=0)
    loss = DistillationLoss(model, targets, distilled, queries=places)
    labels = torch.tensor([4, 3, 0])
    texts = [passages.columns["text"][label] for label in labels]
    asked = [passages.columns["query"][label] for label in (3, 0)]
    got = loss([model.preprocess(texts), model.preprocess(asked)], labels).item()
    flat = DistillationLoss(model, targets, distilled)
    expected = flat([model.preprocess([*texts, *asked])], torch.tensor([4, 3, 0, 65, 64])).item()
    assert abs(got - expected) < 1e-5 * expected
    # Of a batch without any.
    assert loss([model.preprocess(texts)], labels).item() == pytest.approx(
        flat([model.preprocess(texts)], labels).item()
    )


def test_queries_are_for_distillation_alone(tiny, tmp_path, passages, quick):
    with pytest.raises(TrainingError, match="queries are for distillation"):
        train(tiny("llama"), tmp_path / "out", passages, replace(quick, objective="unsupervised"))
    with pytest.raises(TrainingError, match="row 1: query is empty"):
        TrainingExamples({"text": ["A.", "B."], "query": ["", "  "]})
