"""A student learns a teacher's vectors: kept once computed, brought to its dimension, and still a language model."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoModelForCausalLM, AutoTokenizer

from prompteol import PromptEOL
from prompteol.data import TrainingExamples
from prompteol.errors import SettingError, TrainingError
from prompteol.training import fit_dimension, teacher_vectors, train
from prompteol.training.distillation import DistillationLoss, running_label, running_rows


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


def test_the_language_loss_is_the_language_models_own(tiny, texts, distilled):
    model = PromptEOL(tiny("llama"), device="cpu").train()
    rows = list(texts.columns["text"][:3])
    targets = fit_dimension(np.eye(3, 40), 32, seed=0)
    without, with_it = (
        DistillationLoss(model, targets, replace(distilled, language_weight=weight)) for weight in (0.0, 0.5)
    )
    added = [loss([model.preprocess(rows)], torch.arange(3)).item() for loss in (without, with_it)]

    language_model = AutoModelForCausalLM.from_pretrained(tiny("llama"))
    tokenizer = AutoTokenizer.from_pretrained(tiny("llama"))
    total, count = 0.0, 0
    for row in rows:
        ids = tokenizer(model.template.render(row), return_tensors="pt").input_ids
        total += language_model(ids, labels=ids).loss.item() * (ids.shape[1] - 1)
        count += ids.shape[1] - 1
    assert abs(added[1] - added[0] - 0.5 * total / count) < 1e-4
    untied = PromptEOL(tiny("llama", tied=False), device="cpu")
    with pytest.raises(SettingError, match="not tied"):
        DistillationLoss(untied, targets, replace(distilled, language_weight=1.0))


def test_running_text_is_learned_from_as_it_stands(tiny, texts, distilled):
    model = PromptEOL(tiny("llama"), device="cpu").train()
    rows, running = list(texts.columns["text"][:3]), ['"The market fell again," he said;\n  no more.', "It rained."]
    targets = fit_dimension(np.eye(3, 40), 32, seed=0)
    alone = DistillationLoss(model, targets, distilled)([model.preprocess(rows)], torch.arange(3)).item()
    loss = DistillationLoss(
        model,
        targets,
        replace(distilled, language_weight=0.5),
        running=running_rows(TrainingExamples({"text": running}), model, 10),
    )
    labels = torch.tensor([running_label(0), 0, 1, 2, running_label(1)])
    mixed = loss([model.preprocess(["", *rows, ""])], labels).item()

    language_model = AutoModelForCausalLM.from_pretrained(tiny("llama"))
    tokenizer = AutoTokenizer.from_pretrained(tiny("llama"))
    total, count = 0.0, 0
    for row in running:
        # Neither the template nor its normalization of quotation marks and blanks: BOS and ten tokens.
        ids = tokenizer(row, return_tensors="pt").input_ids[:, :11]
        total += language_model(ids, labels=ids).loss.item() * (ids.shape[1] - 1)
        count += ids.shape[1] - 1
    assert abs(mixed - alone - 0.5 * total / count) < 1e-4


def test_a_long_row_does_not_make_short_ones_long(tiny, texts, distilled, monkeypatch):
    model = PromptEOL(tiny("llama"), device="cpu").train()
    rows = [*texts.columns["text"][:6], " ".join(texts.columns["text"][:20])]
    features = model.preprocess(rows)
    shapes = []
    backbone, forward = model.transformers_model, model.transformers_model.forward

    def watched(*args, **kwargs):
        shapes.append(tuple(kwargs["input_ids"].shape))
        return forward(*args, **kwargs)

    monkeypatch.setattr(backbone, "forward", watched)
    DistillationLoss(model, fit_dimension(np.eye(7, 40), 32, seed=0), distilled)([features], torch.arange(7))
    lengths = features["attention_mask"].sum(dim=1).tolist()
    assert shapes == [(6, max(lengths[:6])), (1, lengths[6])]


def test_the_word_after_the_prompt_is_one_that_the_teacher_finds_near(tiny, texts, distilled):
    model = PromptEOL(tiny("llama"), device="cpu").train()
    rows = list(texts.columns["text"][:3])
    generator = np.random.default_rng(0)
    targets = fit_dimension(generator.normal(size=(3, 40)), 32, seed=0)
    words = fit_dimension(generator.normal(size=(len(model.tokenizer), 40)), 32, seed=0)
    words[::2] = 0
    settings = replace(distilled, word_weight=0.5)
    alone, with_words = (
        DistillationLoss(model, targets, settings, words=given)([model.preprocess(rows)], torch.arange(3)).item()
        for given in (None, words)
    )
    logits = torch.from_numpy(model.encode(rows)) @ model.module.transformer.model.get_input_embeddings().weight.T
    near = torch.from_numpy(targets.astype(np.float16).astype(np.float32) @ words.T)[:, 1::2] / 0.04
    expected = -(near.softmax(1) * logits.log_softmax(1)[:, 1::2]).sum(1).mean().item()
    assert abs(with_words - alone - 0.5 * expected) < 1e-4


def test_the_head_multiplies_in_the_precision_of_the_training(tiny, texts, distilled, tmp_path, monkeypatch):
    """The stock trainer's mixed precision ends at the model, so the loss has to be told."""
    seen = set()
    linear = torch.nn.functional.linear

    def watched(inputs, weight, *rest):
        result = linear(inputs, weight, *rest)
        if weight.shape[0] == pieces and result.requires_grad:
            seen.add(result.dtype)
        return result

    model = PromptEOL(tiny("llama"), device="cpu")
    pieces = len(model.module.transformer.model.get_input_embeddings().weight)
    vectors = np.random.default_rng(0).normal(size=(64, 32)).astype(np.float32)
    recipe = replace(distilled, language_weight=0.1, epochs=0.25)
    plain = train(model, tmp_path / "a", texts, recipe, teacher=vectors)
    monkeypatch.setattr(torch.nn.functional, "linear", watched)
    half = train(tiny("llama"), tmp_path / "b", texts, recipe, teacher=vectors, arguments={"bf16": True}, device="cpu")
    assert seen == {torch.bfloat16}
    assert half.curve[0].loss == pytest.approx(plain.curve[0].loss, rel=1e-2)


def test_running_text_and_words_go_with_their_weights(tiny, texts, distilled, tmp_path):
    vectors = np.random.default_rng(0).normal(size=(64, 20)).astype(np.float32)
    wanted = {"teacher": vectors, "device": "cpu"}
    with pytest.raises(SettingError, match="running_text is for distillation with language_weight"):
        train(tiny("llama"), tmp_path / "a", texts, distilled, running_text=texts, **wanted)
    with pytest.raises(SettingError, match=r"word_weight=0\.1, and words were not given"):
        train(tiny("llama"), tmp_path / "b", texts, replace(distilled, word_weight=0.1), **wanted)
    recipe = replace(distilled, language_weight=0.1, word_weight=0.1, epochs=1)
    pieces = len(PromptEOL(tiny("llama"), device="cpu").tokenizer)
    words = np.random.default_rng(1).normal(size=(pieces, 20)).astype(np.float32)
    done = train(tiny("llama"), tmp_path / "c", texts, recipe, running_text=texts, words=words, **wanted)
    assert len([point for point in done.curve if point.loss is not None]) == 8
    assert "Running text: `texts`, 64 rows" in (tmp_path / "c" / "README.md").read_text()
    # Running rows are not taken for duplicates of each other.
    wanted["arguments"] = {"batch_sampler": "no_duplicates"}
    done = train(tiny("llama"), tmp_path / "d", texts, recipe, running_text=texts, words=words, **wanted)
    assert len([point for point in done.curve if point.loss is not None]) == 8


def test_running_rows_fit_the_model(tiny):
    model = PromptEOL(tiny("gpt2"), device="cpu")
    model.max_seq_length = 40
    text = TrainingExamples({"text": ["word " * 200, "One more."]}, "novels")
    assert [len(row) for row in running_rows(text, model, 128)] == [40, len(model.tokenizer("One more.").input_ids)]
    assert not model.module.prompter.bos


def test_a_row_of_one_token_teaches_nothing(tiny, texts, distilled):
    model = PromptEOL(tiny("qwen2"), device="cpu").train()
    settings = replace(distilled, language_weight=0.5)
    running = running_rows(TrainingExamples({"text": ["a", "One more."]}), model, 128)
    loss = DistillationLoss(model, fit_dimension(np.eye(3, 40), 32, seed=0), settings, running=running)
    rows = list(texts.columns["text"][:3])
    without = DistillationLoss(model, fit_dimension(np.eye(3, 40), 32, seed=0), distilled)
    alone = without([model.preprocess(rows)], torch.arange(3)).item()
    short, long = (
        loss([model.preprocess(["", *rows])], torch.tensor([running_label(row), 0, 1, 2])).item() for row in (0, 1)
    )
    assert abs(short - alone) < 1e-5 < long - alone


def test_running_text_is_for_one_process(texts, distilled, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SettingError, match="running_text with 2 processes"):
        train(
            "/no/such/base",
            tmp_path / "out",
            texts,
            replace(distilled, language_weight=0.1),
            teacher="somebody",
            running_text=texts,
        )
    assert not (tmp_path / "out").exists()


def test_the_teacher_is_asked_once(texts, teacher, tmp_path):
    rows, kept = list(texts.columns["text"]), tmp_path / "teacher.safetensors"
    told = []
    first = teacher_vectors(teacher, rows, kept, device="cpu", advance=lambda done, total: told.append((done, total)))
    assert told == [(64, 64)]
    assert first.dtype == np.float16
    again = teacher_vectors(teacher, rows, kept, device="cpu", advance=lambda *_: pytest.fail("asked again"))
    assert np.array_equal(first, again)
    other = teacher_vectors(teacher, rows[::-1], kept, device="cpu")
    assert np.abs(other[::-1].astype(float) - first).max() < 1e-2


def test_loaded_teachers_are_told_apart(tiny, texts, tmp_path):
    rows, kept = list(texts.columns["text"]), tmp_path / "teacher.safetensors"
    one, other = (PromptEOL(tiny("llama", hidden_size=size), device="cpu") for size in (48, 64))
    assert teacher_vectors(one, rows, kept).shape == (64, 48)
    assert teacher_vectors(other, rows, kept).shape == (64, 64)


def test_a_teacher_that_was_overwritten_is_asked_again(tiny, texts, tmp_path):
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
