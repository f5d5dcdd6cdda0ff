"""Two processes and one, with the same global batch, have the same loss curve."""

from dataclasses import replace

import pytest
from sentence_transformers import SentenceTransformer

pytest.importorskip("peft")

from prompteol import PromptEOL
from prompteol.data import TrainingExamples
from prompteol.training import Lora, read_curve
from training_processes import training_processes


@pytest.mark.parametrize("kind", ["contrastive", "cached", "distillation", "language"])
def test_one_curve(tiny, tmp_path, triplets, texts, dev, quick, kind):
    lora = Lora(rank=4, dropout=0.0, quantize=False)
    recipe = replace(quick, lora=lora, mini_batch_size=2 if kind == "cached" else None)
    rows, options = triplets, {"dev": dev}
    if kind in ("distillation", "language"):
        recipe, rows = replace(recipe, objective="distillation"), texts
    if kind == "language":
        # Of like length and of unlike: the mean over tokens is not that of the processes' means.
        rows = TrainingExamples(
            {"text": [" ".join([text] * (1 + row % 3)) for row, text in enumerate(texts.columns["text"])]}
        )
        recipe = replace(recipe, language_weight=0.5, lora=None, learning_rate=1e-3)
    if recipe.objective == "distillation":
        PromptEOL(tiny("llama", hidden_size=48), device="cpu").save_pretrained(tmp_path / "teacher")
        options["teacher"] = tmp_path / "teacher"
    for count, name in ((1, "one"), (2, "two")):
        training_processes((tiny("llama"), tmp_path / name, rows, recipe), options, count=count)
    one, two = (read_curve(tmp_path / name / "curve.jsonl") for name in ("one", "two"))
    assert [point.step for point in one] == [point.step for point in two]
    losses = [(alone.loss, shared.loss) for alone, shared in zip(one, two, strict=True) if alone.loss is not None]
    assert len(losses) == 8
    assert losses[0][0] - losses[-1][0] > 0.05
    assert max(abs(alone - shared) for alone, shared in losses) < 1e-4
    vectors = [SentenceTransformer(str(tmp_path / name), device="cpu").encode("A cat.") for name in ("one", "two")]
    assert abs(vectors[0] - vectors[1]).max() < 1e-3 * abs(vectors[0]).max()


def test_two_machines_begin_in_one_folder(tiny, tmp_path, texts, dev, quick):
    """The first process of the second machine waits for the folder, and for the teacher's vectors in it."""
    PromptEOL(tiny("llama", hidden_size=48), device="cpu").save_pretrained(tmp_path / "teacher")
    recipe = replace(quick, objective="distillation", epochs=0.5)
    options = {"dev": dev, "teacher": tmp_path / "teacher"}
    training_processes((tiny("llama"), tmp_path / "out", texts, recipe), options, count=2, machines=True)
    assert len([point for point in read_curve(tmp_path / "out" / "curve.jsonl") if point.loss is not None]) == 2
    assert (tmp_path / "out" / "prompteol.json").is_file()
