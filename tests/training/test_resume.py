"""Killed and resumed, a training ends in the weights of one that was never stopped."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from prompteol.errors import TrainingError
from prompteol.training import Lora, read_curve, train
from prompteol.training.checkpoints import Workspace
from training_processes import training_processes


@pytest.mark.parametrize("kind", ["adapter_model", "model"])
def test_the_same_weights(tiny, tmp_path, triplets, dev, quick, kind):
    """The kills fall before the first checkpoint and into later passes over the data, one of them into a saving."""
    if kind == "adapter_model":
        pytest.importorskip("peft")
    lora = Lora(rank=4, dropout=0.2, quantize=False) if kind == "adapter_model" else None
    recipe = replace(quick, lora=lora, epochs=4)
    base = tiny("opt", attention_dropout=0.1)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    options = {"dev": dev, "resume": True}
    training_processes((base, whole, triplets, recipe), options)

    training_processes((base, killed, triplets, recipe), options, kill_at=2)
    assert not list((killed / "checkpoints").glob("checkpoint-*"))
    training_processes((base, killed, triplets, recipe), options, kill_at=5)
    assert (killed / "checkpoints" / "checkpoint-3").is_dir()
    logged = [point.step for point in read_curve(killed / "curve.jsonl") if point.loss is not None]
    assert logged == list(range(1, len(logged) + 1))
    assert not (killed / "prompteol.json").exists()
    training_processes((base, killed, triplets, recipe), options, kill_at=11)
    half = killed / "checkpoints" / "checkpoint-12"
    half.mkdir()
    (half / "trainer_state.json").write_text('{"global_step": 1')
    training_processes((base, killed, triplets, recipe), options)

    weights = [load_file(out / f"{kind}.safetensors") for out in (whole, killed)]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())
    assert read_curve(whole / "curve.jsonl") == read_curve(killed / "curve.jsonl")


def test_a_finished_training_stays_as_it_is(adapter, tiny, triplets, dev, quick):
    before = load_file(adapter.output / "adapter_model.safetensors")
    options = {"dev": dev, "resume": True}
    training_processes((tiny("llama"), adapter.output, triplets, quick), options)
    after = load_file(adapter.output / "adapter_model.safetensors")
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


@pytest.mark.parametrize("keep", ["best", "last"])
def test_a_finished_part_of_an_epoch_stays_as_it_is(tiny, tmp_path, triplets, dev, quick, keep):
    recipe = replace(quick, lora=None, epochs=1.4, keep=keep)
    options = {"dev": dev, "device": "cpu", "arguments": {"lr_scheduler_type": "constant"}}
    train(tiny("llama"), tmp_path / "out", triplets, recipe, **options)
    files = contents(tmp_path / "out")
    train(tiny("llama"), tmp_path / "out", triplets, recipe, resume=True, **options)
    assert contents(tmp_path / "out") == files
    assert tmp_path / "out" / "checkpoints" / "checkpoint-6" / "model.safetensors" in files


def contents(folder):
    """Weights, curve and checkpoints."""
    files = [*folder.glob("*.safetensors"), folder / "curve.jsonl", *(folder / "checkpoints").rglob("*")]
    return {path: path.read_bytes() for path in files if path.is_file()}


def test_a_folder_that_was_moved_keeps_its_best(tiny, tmp_path, triplets, dev, quick):
    """The best checkpoint is the first one: nothing is learned after it."""
    recipe = replace(quick, lora=None, epochs=4, learning_rate=1e-9, warmup_steps=0)
    training_processes((tiny("llama"), tmp_path / "old", triplets, recipe), {"dev": dev}, kill_at=11)
    (tmp_path / "old").rename(tmp_path / "new")
    done = train(tiny("llama"), tmp_path / "new", triplets, recipe, dev=dev, resume=True, device="cpu")
    best = load_file(tmp_path / "new" / "checkpoints" / f"checkpoint-{done.best.step}" / "model.safetensors")
    saved = load_file(tmp_path / "new" / "model.safetensors")
    assert done.best.step < 9
    assert all(torch.equal(tensor, saved[name]) for name, tensor in best.items())


def test_patience_outlives_a_kill(tiny, tmp_path, triplets, dev, quick):
    """Nothing is learned, so the third checkpoint after the first one is the last, whenever a process is killed."""
    pytest.importorskip("peft")
    recipe = replace(quick, learning_rate=1e-9, eval_steps=1, patience=3, epochs=4)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    options = {"dev": dev, "resume": True}
    training_processes((tiny("llama"), whole, triplets, recipe), options)
    training_processes((tiny("llama"), killed, triplets, recipe), options, kill_at=3)
    training_processes((tiny("llama"), killed, triplets, recipe), options)
    curve = read_curve(whole / "curve.jsonl")
    assert curve[-1].step == 4
    assert read_curve(killed / "curve.jsonl") == curve
    weights = load_file(whole / "adapter_model.safetensors")

    again = train(tiny("llama"), whole, triplets, recipe, **options, device="cpu")
    assert list(again.curve) == read_curve(whole / "curve.jsonl") == curve
    assert not (whole / "checkpoints" / "checkpoint-5").exists()
    for out in (whole, killed):
        found = load_file(out / "adapter_model.safetensors")
        assert all(torch.equal(tensor, found[name]) for name, tensor in weights.items())


def test_a_folder_has_one_training_at_a_time(tmp_path):
    """The second would remove the checkpoint that the first is writing, and go on among its files."""
    first, second = Workspace(tmp_path / "out"), Workspace(tmp_path / "out")
    with first.alone():
        first.begin({"seed": 1}, resume=False)
        with second.alone(), pytest.raises(TrainingError, match=r"another process trains in '.*out': wait for it"):
            second.begin({"seed": 2}, resume=True)
        assert json.loads(first.record.read_text()) == {"seed": 1}
    with second.alone():
        second.begin({"seed": 2}, resume=True)
    assert not list(second.checkpoints.iterdir())
