"""The recipe of the embedded default keeps the student a language model, by the losses that it says."""

import importlib.util
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from prompteol import PromptEOL
from prompteol.data import TrainingExamples
from prompteol.errors import SettingError
from prompteol.training import DistillationLoss, Recipe, fit_dimension, train

spec = importlib.util.spec_from_file_location(
    "language_loss", Path(__file__).parents[2] / "recipes" / "nano" / "language_loss.py"
)
language_loss = importlib.util.module_from_spec(spec)
spec.loader.exec_module(language_loss)
LanguageDistillationLoss, running_rows = language_loss.LanguageDistillationLoss, language_loss.running_rows

TEXTS = [f"A {subject} {action}." for subject in ("man", "dog", "cat", "boy") for action in ("sings", "runs", "reads")]
RECIPE = Recipe(objective="distillation", lora=None, learning_rate=5e-3, warmup_steps=2, batch_size=4, log_steps=1)


def unit_rows(count, dimension=32, seed=0):
    return fit_dimension(np.random.default_rng(seed).normal(size=(count, 40)), dimension, seed=0)


def next_token_loss(folder, rows, tokens=None):
    language_model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    total, count = 0.0, 0
    for row in rows:
        ids = tokenizer(row, return_tensors="pt").input_ids[:, :tokens]
        total += language_model(ids, labels=ids).loss.item() * (ids.shape[1] - 1)
        count += ids.shape[1] - 1
    return total / count


def test_the_next_tokens_loss_is_the_language_models_own(tiny):
    model = PromptEOL(tiny("llama"), device="cpu").train()
    targets = unit_rows(3)
    plain = DistillationLoss(model, targets, RECIPE)
    language = LanguageDistillationLoss(model, targets, RECIPE, language_weight=0.5)
    without, with_it = (loss([model.preprocess(TEXTS[:3])], torch.arange(3)).item() for loss in (plain, language))
    expected = next_token_loss(tiny("llama"), [model.template.render(row) for row in TEXTS[:3]])
    assert abs(with_it - without - 0.5 * expected) < 1e-4
    untied = PromptEOL(tiny("llama", tied=False), device="cpu")
    with pytest.raises(SettingError, match="not tied"):
        LanguageDistillationLoss(untied, targets, RECIPE, language_weight=1.0)


def test_running_text_is_learned_from_as_it_stands(tiny):
    model = PromptEOL(tiny("llama"), device="cpu").train()
    running = ['"The market fell again," he said;\n  no more.', "It rained."]
    targets = unit_rows(3)
    alone = DistillationLoss(model, targets, RECIPE)([model.preprocess(TEXTS[:3])], torch.arange(3)).item()
    loss = LanguageDistillationLoss(
        model, np.concatenate([targets, np.zeros((2, 32))]), RECIPE, running=running_rows(running, model, 10),
        language_weight=0.5,
    )  # fmt: skip
    mixed = loss([model.preprocess(["", *TEXTS[:3], ""])], torch.tensor([3, 0, 1, 2, 4])).item()
    # Neither the template nor its normalization of quotation marks and blanks: BOS and ten tokens.
    assert abs(mixed - alone - 0.5 * next_token_loss(tiny("llama"), running, tokens=11)) < 1e-4


def test_a_long_row_does_not_make_short_ones_long(tiny, monkeypatch):
    model = PromptEOL(tiny("llama"), device="cpu").train()
    features = model.preprocess([*TEXTS[:6], " ".join(TEXTS * 2)])
    shapes = []
    backbone, forward = model.transformers_model, model.transformers_model.forward

    def watched(*args, **kwargs):
        shapes.append(tuple(kwargs["input_ids"].shape))
        return forward(*args, **kwargs)

    monkeypatch.setattr(backbone, "forward", watched)
    LanguageDistillationLoss(model, unit_rows(7), RECIPE)([features], torch.arange(7))
    lengths = features["attention_mask"].sum(dim=1).tolist()
    assert shapes == [(6, max(lengths[:6])), (1, lengths[6])]


def test_the_word_after_the_prompt_is_one_that_the_teacher_finds_near(tiny):
    model = PromptEOL(tiny("llama"), device="cpu").train()
    targets, words = unit_rows(3), unit_rows(len(model.tokenizer), seed=1)
    words[::2] = 0
    alone, with_words = (
        LanguageDistillationLoss(model, targets, RECIPE, words=given, word_weight=0.5)(
            [model.preprocess(TEXTS[:3])], torch.arange(3)
        ).item()
        for given in (None, words)
    )
    logits = torch.from_numpy(model.encode(TEXTS[:3])) @ model.module.transformer.model.get_input_embeddings().weight.T
    near = torch.from_numpy(targets.astype(np.float16).astype(np.float32) @ words.T)[:, 1::2] / 0.04
    expected = -(near.softmax(1) * logits.log_softmax(1)[:, 1::2]).sum(1).mean().item()
    assert abs(with_words - alone - 0.5 * expected) < 1e-4


def test_the_head_multiplies_in_the_precision_of_the_training(tiny, tmp_path, monkeypatch):
    """The stock trainer's mixed precision ends at the model, so the loss has to be given it."""
    seen = set()
    linear = torch.nn.functional.linear

    def watched(inputs, weight, *rest):
        result = linear(inputs, weight, *rest)
        if weight.shape[0] == pieces and result.requires_grad:
            seen.add(result.dtype)
        return result

    pieces = len(PromptEOL(tiny("llama"), device="cpu").module.transformer.model.get_input_embeddings().weight)
    loss = partial(LanguageDistillationLoss, language_weight=0.1)
    options = {"teacher": unit_rows(len(TEXTS)), "device": "cpu"}
    data = TrainingExamples({"text": TEXTS})
    plain = train(tiny("llama"), tmp_path / "a", data, RECIPE, loss=loss, **options)
    monkeypatch.setattr(torch.nn.functional, "linear", watched)
    half = partial(loss, precision=torch.bfloat16)
    done = train(tiny("llama"), tmp_path / "b", data, RECIPE, loss=half, arguments={"bf16": True}, **options)
    assert seen == {torch.bfloat16}
    assert done.curve[0].loss == pytest.approx(plain.curve[0].loss, rel=1e-2)
    assert "- Loss: LanguageDistillationLoss" in (tmp_path / "b" / "README.md").read_text()


def test_running_text_is_mixed_among_the_sentences(tiny, tmp_path):
    running = ["One row of running text.", "Another one.", "It rained.", "a"]
    model = PromptEOL(tiny("llama"), device="cpu")
    loss = partial(
        LanguageDistillationLoss, running=running_rows(running, model, 128), words=unit_rows(len(model.tokenizer)),
        language_weight=0.1, word_weight=0.1,
    )  # fmt: skip
    done = train(
        model, tmp_path / "out", TrainingExamples({"text": [*TEXTS, *running]}, "sentences and running text"), RECIPE,
        teacher=np.concatenate([unit_rows(len(TEXTS)), np.zeros((len(running), 32))]), loss=loss,
    )  # fmt: skip
    assert len([point for point in done.curve if point.loss is not None]) == 4
    assert "`sentences and running text`, 16 rows" in (tmp_path / "out" / "README.md").read_text()


def test_running_rows_fit_the_model(tiny):
    model = PromptEOL(tiny("gpt2"), device="cpu")
    model.max_seq_length = 40
    rows = running_rows(["word " * 200, "One more."], model, 128)
    assert [len(row) for row in rows] == [40, len(model.tokenizer("One more.").input_ids)]
    assert not model.module.prompter.bos


def test_a_row_of_one_token_teaches_nothing(tiny):
    model = PromptEOL(tiny("qwen2"), device="cpu").train()
    targets = unit_rows(3)
    alone = DistillationLoss(model, targets, RECIPE)([model.preprocess(TEXTS[:3])], torch.arange(3)).item()
    loss = LanguageDistillationLoss(
        model, np.concatenate([targets, np.zeros((2, 32))]), RECIPE, running=running_rows(["a", "One more."], model, 9),
        language_weight=0.5,
    )  # fmt: skip
    short, long = (loss([model.preprocess(["", *TEXTS[:3]])], torch.tensor([row, 0, 1, 2])).item() for row in (3, 4))
    assert abs(short - alone) < 1e-5 < long - alone
