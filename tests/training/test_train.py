"""A training changes vectors, keeps the best checkpoint, and leaves what everybody can load."""

import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from sentence_transformers import SentenceTransformer

from prompteol import PromptEOL
from prompteol.data import TrainingExamples
from prompteol.errors import ModelError, SettingError, TrainingError
from prompteol.plots.picture import plot_curve
from prompteol.prompts import resolve_template
from prompteol.training import Lora, Point, Recipe, callbacks, read_curve, train
from prompteol.training.callbacks import points

SENTENCES = ["A man sings.", "The dog sleeps here.", "A long text about nothing in particular."]


def losses(training):
    return [point.loss for point in training.curve if point.loss is not None]


def test_an_adapter_loads_everywhere(adapter, tiny):
    vectors = adapter.model.encode(SENTENCES)
    assert np.abs(vectors - PromptEOL(tiny("llama"), device="cpu").encode(SENTENCES)).max() > 0.01
    assert (adapter.output / "adapter_config.json").is_file()
    assert not (adapter.output / "model.safetensors").exists()
    for again in (PromptEOL(adapter.output, device="cpu"), SentenceTransformer(str(adapter.output), device="cpu")):
        assert np.abs(again.encode(SENTENCES) - vectors).max() < 1e-5 * np.abs(vectors).max()
    assert losses(adapter)[-1] < losses(adapter)[0] - 0.1


def test_the_best_checkpoint_is_kept(adapter):
    scored = {point.step: point.score for point in adapter.curve if point.score is not None}
    assert list(scored) == [0, 3, 6, 8]
    assert adapter.before == scored[0]
    assert adapter.best.score == max(score for step, score in scored.items() if step)
    checkpoint = adapter.output / "checkpoints" / f"checkpoint-{adapter.best.step}"
    best = SentenceTransformer(str(checkpoint), device="cpu").encode(SENTENCES)
    assert np.abs(best - adapter.model.encode(SENTENCES)).max() < 1e-5 * np.abs(best).max()


def test_the_last_checkpoint_is_kept_if_that_is_wanted(tiny, tmp_path, triplets, dev, quick, adapter):
    """Of a training that destroys the model, which the best would undo."""
    recipe = replace(quick, keep="last", learning_rate=1.0, lora=None)
    done = train(tiny("llama"), tmp_path / "out", triplets, recipe, dev=dev, device="cpu")
    scored = [point for point in done.curve if point.score is not None]
    assert done.kept == scored[-1] != done.best
    checkpoint = done.output / "checkpoints" / f"checkpoint-{done.kept.step}"
    last = SentenceTransformer(str(checkpoint), device="cpu").encode(SENTENCES)
    assert np.abs(last - done.model.encode(SENTENCES)).max() < 1e-5 * np.abs(last).max()
    assert "The weights are those of step 8, the last, with" in (done.output / "README.md").read_text()
    assert adapter.kept == adapter.best
    with pytest.raises(SettingError, match="patience=3: expected none with keep='last'"):
        replace(recipe, patience=3)


def test_the_curve_is_written_while_it_runs(adapter, tmp_path):
    assert read_curve(adapter.output / "curve.jsonl") == adapter.curve
    assert len(losses(adapter)) == 8
    plot_curve(adapter.curve, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("curve", "title"),
    [
        ([Point(0, score=9.02), Point(1, loss=2.0), Point(2, score=7.06)], "best: 7.06 at step 2; before: 9.02"),
        ([Point(0, score=9.02), Point(1, loss=2.0)], "before: 9.02"),
        ([Point(1, loss=2.0)], ""),
    ],
)
def test_the_picture_of_a_few_steps(tmp_path, monkeypatch, curve, title):
    drawn = []
    monkeypatch.setattr("prompteol.plots.picture.save_picture", lambda figure, path, **_: drawn.append(figure))
    plot_curve(curve, tmp_path / "curve.png")
    drawn[0].draw_without_rendering()
    loss = drawn[0].axes[0]
    assert loss.get_title() + "".join(axes.get_title() for axes in drawn[0].axes[1:]) == title
    # One value makes no line.
    assert loss.lines[0].get_marker() not in ("None", None, "")
    assert all(float(tick).is_integer() for tick in loss.get_xticks())


def test_no_gain_is_said_plainly(tiny, tmp_path, triplets, dev, quick, adapter):
    assert adapter.gain == adapter.kept.score - adapter.before
    worst = replace(quick, learning_rate=1.0, lora=None, keep="last", warmup_steps=0)
    upside_down = replace(dev, scores=[-score for score in dev.scores])
    done = next(
        found
        for pairs in (dev, upside_down)
        if (found := train(tiny("llama"), tmp_path / pairs.digest, triplets, worst, dev=pairs, device="cpu")).gain < 0
    )
    assert f"worse than the base by {-done.gain:.2f}: train for longer" in done.verdict
    assert f"**no better than the base** ({done.before:.2f})" in (done.output / "README.md").read_text()
    assert replace(done, curve=[Point(0, score=1.0), Point(done.step, score=2.0)]).verdict is None


def test_a_watcher_is_told_each_step_in_constant_time(tiny, tmp_path, triplets, quick, monkeypatch):
    read = []
    monkeypatch.setattr(callbacks, "points", lambda history: read.append(len(history)) or points(history))
    told = []
    train(tiny("llama"), tmp_path / "out", triplets, quick, device="cpu", watch=told.append)
    assert [progress.step for progress in told if progress.step == 0]
    assert told[-1].last.step == 8
    assert max(read) <= 1


def test_the_card_says_how_it_was_made(adapter, tiny, tmp_path, triplets, quick):
    card = (adapter.output / "README.md").read_text()
    for said in (
        "## Training",
        "`triplets`, 64 rows of anchor, positive, negative; license: CC0",
        "temperature 0.05",
        "LoRA rank 4, alpha 16, dropout 0.05, quantize False",
        f"| 0 | {adapter.before:.2f} |",
        "jiang-etal-2024-scaling",
    ):
        assert said in card
    assert f"`{tiny('llama')}`; license: unknown" in card

    licensed = PromptEOL(tiny("llama"), device="cpu")
    licensed.model_card_data.license = "mit"
    licensed.save_pretrained(tmp_path / "base")
    done = train(str(tmp_path / "base"), tmp_path / "out", triplets, replace(quick, epochs=0.25), device="cpu")
    card = (done.output / "README.md").read_text()
    assert "license: mit" in card
    assert "\nlicense: mit\n" in card
    assert "No development pairs" in card

    # Trained once more, it still says what it had been trained on.
    more = replace(triplets, name="more")
    again = train(str(tmp_path / "base"), tmp_path / "once", triplets, replace(quick, lora=None), device="cpu")
    again = train(str(again.output), tmp_path / "twice", more, replace(quick, lora=None), device="cpu")
    card = (again.output / "README.md").read_text()
    assert card.index("`more`, 64 rows") < card.index("### Before that") < card.index("`triplets`, 64 rows")
    assert card.count("## Training\n") == 1


def test_names_of_data_are_text_in_the_card(tiny, tmp_path, triplets, quick):
    odd = replace(triplets, name="my `data`\n\n## Heading\n[x](y)", license="mine\n# Heading")
    card = (train(tiny("llama"), tmp_path / "out", odd, replace(quick, epochs=0.25), device="cpu").output) / "README.md"
    assert "- Data: `` my `data` ## Heading [x](y) ``, 64 rows" in card.read_text()
    assert "\n# Heading" not in card.read_text()


def test_the_card_has_the_score_of_the_weights(tiny, tmp_path, triplets, dev, quick):
    recipe = replace(quick, epochs=4, eval_steps=1)
    done = train(tiny("llama"), tmp_path / "out", triplets, recipe, dev=dev, device="cpu")
    card = (done.output / "README.md").read_text()
    assert f"those of step {done.kept.step}, the best, with {done.kept.score:.2f}" in card
    assert f"| {done.kept.step} | {done.kept.score:.2f} |" in card


def test_another_prompt_keeps_what_the_card_says_of_the_weights(adapter, tmp_path):
    trained = adapter.model.training_notes
    assert "license: CC0" in trained
    saved = shutil.copytree(adapter.output, tmp_path / "saved")
    card = saved / "README.md"
    card.write_text(card.read_text().replace("---\n", "---\nlicense: mit\n", 1))
    searched = PromptEOL(saved, device="cpu")
    searched.set_template(resolve_template("prompt"))
    for model, name in ((searched, "searched"), (PromptEOL(saved, template="prompt", device="cpu"), "given")):
        model.save_pretrained(tmp_path / name)
        new = (tmp_path / name / "README.md").read_text()
        assert new.endswith(trained)
        assert new.count("## Training\n") == 1
        assert "\nlicense: mit\n" in new
        assert "means in one word" not in new
    card.write_text("---\nlicense: [\n---\n")
    assert PromptEOL(saved, device="cpu").model_card_data.license is None


def test_all_weights_in_place_with_demonstrations_and_a_layer(tiny, tmp_path, triplets, quick):
    model = PromptEOL(tiny("qwen2"), layer=-2, demonstrations="opt-125m", device="cpu")
    before = model.encode(SENTENCES)
    done = train(model, tmp_path / "out", triplets, replace(quick, lora=None))
    assert done.model is model
    after = model.encode(SENTENCES)
    assert np.abs(after - before).max() > 0.01
    stock = SentenceTransformer(str(tmp_path / "out"), device="cpu")
    assert np.abs(stock.encode(SENTENCES) - after).max() < 1e-5 * np.abs(after).max()


@pytest.mark.parametrize("mini", [None, 4], ids=["whole batch", "cached"])
def test_dropout_alone_teaches(tiny, tmp_path, texts, quick, mini):
    recipe = replace(quick, objective="unsupervised", mini_batch_size=mini)
    done = train(tiny("llama"), tmp_path / "out", texts, recipe, device="cpu")
    assert losses(done)[-1] < losses(done)[0]


def test_text_is_cut_before_the_template(tiny, tmp_path, triplets, quick):
    """What lies behind the last token allowed does not reach the model, also where demonstrations are long."""

    def loss(end, start=""):
        anchors = [f"{start}{text} and {end}" for text in triplets.columns["anchor"]]
        long = TrainingExamples({**triplets.columns, "anchor": anchors})
        recipe = replace(quick, epochs=0.25, max_text_tokens=6, lora=None)
        model = PromptEOL(tiny("llama"), demonstrations="opt-125m", device="cpu")
        return losses(train(model, tmp_path / f"out{len(list(tmp_path.iterdir()))}", long, recipe))[0]

    same = loss("then more and more")
    assert loss("nothing else") == same
    assert loss("nothing else", start="Why? ") != same


def test_early_stop(tiny, tmp_path, triplets, dev, quick):
    recipe = replace(quick, learning_rate=1e-9, eval_steps=1, patience=2, epochs=4)
    done = train(tiny("llama"), tmp_path / "out", triplets, recipe, dev=dev, device="cpu")
    assert losses(done)[2:3]
    assert len(losses(done)) == 3


def test_recipes_that_do_not_fit(tiny, tmp_path, triplets, texts, quick, adapter):
    with pytest.raises(SettingError, match=r"batch_size=256 is more than the 64 rows"):
        train(tiny("llama"), tmp_path, triplets, Recipe())
    with pytest.raises(TrainingError, match="takes anchor and positive"):
        train(tiny("llama"), tmp_path, texts, quick)
    with pytest.raises(SettingError, match="needs a teacher"):
        train(tiny("llama"), tmp_path, texts, replace(quick, objective="distillation"))
    with pytest.raises(SettingError, match="no use for a teacher"):
        train(tiny("llama"), tmp_path, triplets, quick, teacher="somebody")
    with pytest.raises(SettingError, match="patience=2 needs development pairs"):
        train("/no/such/base", tmp_path, triplets, replace(quick, patience=2))
    with pytest.raises(SettingError, match="needs a CUDA device"):
        train(tiny("llama"), tmp_path, triplets, replace(quick, lora=Lora(quantize=True)), device="cpu")
    with pytest.raises(ModelError, match="adapter already"):
        train(adapter.output, tmp_path / "twice", triplets, quick, device="cpu")
    for wrong in ({"temperature": 0.0}, {"objective": "magic"}, {"batch_size": 1}, {"similarity_weight": -1.0}):
        with pytest.raises(SettingError, match=next(iter(wrong))):
            replace(quick, **wrong)


def test_what_cannot_be_trained_is_said_before_anything_is_written(tiny, tmp_path, triplets, texts, quick, adapter):
    out, full = tmp_path / "out", replace(quick, lora=None)
    with pytest.raises(ModelError, match="adapter already"):
        train(adapter.output, out, triplets, full, device="cpu")
    half = PromptEOL(tiny("llama"), device="cpu", model_kwargs={"dtype": "bfloat16"})
    with pytest.raises(SettingError, match=r'bfloat16, in which small steps are lost.*"dtype": "float32"'):
        train(half, out, triplets, full)
    assert not out.exists()
    for base in (tiny("llama"), tiny("llama", classifier_dropout=0.1)):
        with pytest.raises(SettingError, match="unsupervised training needs dropout"):
            train(base, out, texts, replace(full, objective="unsupervised"), device="cpu")
    # No checkpoint was written, so there is nothing that another training could overwrite.
    train(tiny("opt", dropout=0.1), out, texts, replace(full, objective="unsupervised", epochs=0.25), device="cpu")


def test_an_adapter_of_half_a_base_is_trained_in_full(tiny, tmp_path, triplets, quick):
    model = PromptEOL(tiny("llama"), device="cpu", model_kwargs={"dtype": "bfloat16"})
    done = train(model, tmp_path / "out", triplets, quick)
    adapter = {name: p.dtype for name, p in model.named_parameters() if "lora" in name}
    assert set(adapter.values()) == {torch.float32}
    assert model.transformers_model.get_input_embeddings().weight.dtype == torch.bfloat16
    assert losses(done)[-1] < losses(done)[0]


def test_a_folder_or_a_teacher_that_will_not_do_is_said_before_the_base_is_looked_at(
    tmp_path, triplets, texts, quick, monkeypatch
):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(TrainingError, match="file' holds other files"):
        train("/no/such/base", tmp_path / "file", triplets, quick)
    with pytest.raises(TrainingError, match="holds other files"):
        train("/no/such/base", tmp_path, triplets, quick)
    with pytest.raises(TrainingError, match="file' is a file"):
        train("/no/such/base", tmp_path / "file" / "out", triplets, quick)
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != tmp_path)
    with pytest.raises(TrainingError, match="out': no permission in"):
        train("/no/such/base", tmp_path / "out", triplets, quick)
    distilled = replace(quick, objective="distillation")
    with pytest.raises(TrainingError, match=r"shape \(3, 8\); expected 64 rows"):
        train("/no/such/base", tmp_path / "out", texts, distilled, teacher=np.ones((3, 8)))


def test_a_teacher_that_cannot_be_loaded_is_named(tiny, tmp_path, texts, quick):
    distilled = replace(quick, objective="distillation")
    with pytest.raises(TrainingError, match="the teacher '/no/such/teacher' cannot be loaded"):
        train(tiny("llama"), tmp_path / "out", texts, distilled, teacher="/no/such/teacher", device="cpu")


# How a full disk shows where checkpoints are written: in a file's own writing, in safetensors, in torch.save.
FULL = (OSError(errno.ENOSPC, "full"), SafetensorError("full"), RuntimeError("inline_container.cc:664] . full"))


@pytest.mark.parametrize("fault", FULL, ids=lambda fault: type(fault).__name__)
def test_a_disk_that_fails_says_how_to_go_on(tiny, tmp_path, triplets, quick, monkeypatch, fault):
    out, writing = tmp_path / "out", torch.save

    def full(state, file, *_, **__):
        if "checkpoint-6" in str(file):
            raise fault
        writing(state, file)

    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", full)
        with pytest.raises(TrainingError, match=r"out'.*full\. Mend that, and go on.*--resume"):
            train(tiny("llama"), out, triplets, quick, device="cpu")
    before = read_curve(out / "curve.jsonl")
    done = train(tiny("llama"), out, triplets, quick, resume=True, device="cpu")
    # The first three steps were not done again: their points are those of the first run.
    assert [point for point in done.curve if point.step <= 3] == [point for point in before if point.step <= 3]
    assert done.curve[-1].step == 8


def test_a_finished_model_is_not_overwritten_for_lack_of_checkpoints(tiny, tmp_path, triplets, quick):
    out = tmp_path / "out"
    train(tiny("llama"), out, triplets, quick, device="cpu")
    shutil.rmtree(out / "checkpoints")
    with pytest.raises(TrainingError, match="holds a finished model"):
        train(tiny("llama"), out, triplets, quick, resume=True, device="cpu")


def test_an_adapter_finds_its_base_from_every_folder(tiny, tmp_path, triplets, quick, monkeypatch):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "base").symlink_to(tiny("llama"))
    monkeypatch.chdir(tmp_path)
    done = train("models/base", tmp_path / "out", triplets, quick, device="cpu")
    monkeypatch.chdir("/")
    found = PromptEOL(tmp_path / "out", device="cpu").encode("A cat.")
    assert abs(found - done.model.encode("A cat.")).max() < 1e-5 * abs(found).max()


def test_a_loss_that_is_no_number_ends_the_training(tiny, tmp_path, triplets, quick):
    recipe = replace(quick, temperature=1e-45)
    with pytest.raises(TrainingError, match="the loss is nan at step 1; lower the learning rate"):
        train(tiny("llama"), tmp_path / "out", triplets, recipe, device="cpu")


def test_another_training_is_not_overwritten(adapter, tiny, tmp_path, triplets, dev, quick):
    with pytest.raises(TrainingError, match="add --resume"):
        train(tiny("llama"), adapter.output, triplets, quick, device="cpu")
    wrong = replace(quick, learning_rate=0.1)
    with pytest.raises(TrainingError, match=r"its learning_rate was 0\.005, now it is 0\.1"):
        train(tiny("llama"), adapter.output, triplets, wrong, dev=dev, resume=True, device="cpu")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(TrainingError, match="holds other files"):
        train(tiny("llama"), tmp_path, triplets, quick, device="cpu")
    assert json.loads((adapter.output / "training.json").read_text())["learning_rate"] == 0.005
