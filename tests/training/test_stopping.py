"""A training that diverges is an error that says what to try, and leaves no model behind."""

from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from prompteol.cli.app import app
from prompteol.data import ScoredPairs
from prompteol.errors import TrainingError
from prompteol.training import Lora, train


@pytest.mark.parametrize("scored", [False, True], ids=["no pairs", "pairs"])
@pytest.mark.parametrize("kind", ["all weights", "adapter"])
@pytest.mark.parametrize(("rate", "epochs"), [(1e10, 0.5), (1e20, 0.25), (1e38, 2)])
def test_no_model_is_saved(tiny, tmp_path, triplets, dev, quick, scored, kind, rate, epochs):
    """Also where no loss was logged after the step that destroyed the weights."""
    lora = None if kind == "all weights" else Lora(rank=4, quantize=False)
    recipe = replace(quick, lora=lora, learning_rate=rate, warmup_steps=0, epochs=epochs, eval_steps=50, log_steps=50)
    pairs = dev if scored else None
    with pytest.raises(TrainingError, match=r"at step \d; lower the learning rate \(now 1e\+.*--learning-rate 1e\+"):
        train(tiny("llama"), tmp_path / "out", triplets, recipe, dev=pairs, device="cpu")
    assert not (tmp_path / "out" / "README.md").exists()
    assert not list((tmp_path / "out").glob("*.safetensors"))


def test_weights_that_are_no_numbers_are_in_no_checkpoint(tiny, tmp_path, triplets, quick, monkeypatch):
    stepping = torch.optim.AdamW.step

    def step(self, *args, **kwargs):
        result = stepping(self, *args, **kwargs)
        with torch.no_grad():
            self.param_groups[0]["params"][0].fill_(torch.nan)
        return result

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    recipe = replace(quick, lora=None, eval_steps=1, log_steps=50)
    with pytest.raises(TrainingError, match=r"holds NaN or infinity at step 1; lower the learning rate"):
        train(tiny("llama"), tmp_path / "out", triplets, recipe, device="cpu")
    assert not list((tmp_path / "out" / "checkpoints").glob("checkpoint-*"))


def test_a_base_without_a_score_is_named(tiny, tmp_path, triplets, quick):
    same = ScoredPairs(["A man sings."] * 8, ["A man sings."] * 8, range(8), "same")
    with pytest.raises(TrainingError, match="the score of the base is nan: all development pairs have the same cosine"):
        train(tiny("llama"), tmp_path / "out", triplets, quick, dev=same, device="cpu")


def test_the_command_ends_in_exit_code_2(tiny, tmp_path, triplets):
    rows = zip(*triplets.columns.values(), strict=True)
    data = tmp_path / "nli.csv"
    data.write_text("anchor,positive,negative\n" + "".join(",".join(row) + "\n" for row in rows))
    command = ["train", "-m", tiny("llama"), "-o", tmp_path / "out", "--data", data, "-b", 16, "--learning-rate", 1e10]
    done = CliRunner().invoke(app, [*map(str, command), "--warmup-steps", "0", "--lora-rank", "4", "--device", "cpu"])
    assert done.exit_code == 2, done.output
    assert "lower the learning rate (now 1e+10; --learning-rate 1e+09)" in done.stderr
    assert "kept" not in done.stderr
