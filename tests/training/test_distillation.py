"""A student learns a teacher's vectors: kept once computed, and brought to its dimension."""

import shutil
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from prompteol import PromptEOL
from prompteol.errors import TrainingError
from prompteol.training import fit_dimension, teacher_vectors, train
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
