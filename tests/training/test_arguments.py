"""The trainer's arguments win or are refused by name, and what is kept is what is returned."""

from dataclasses import fields, replace

import pytest
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformerTrainingArguments
from transformers import TrainerCallback

from prompteol.errors import SettingError
from prompteol.training import train
from prompteol.training.arguments import check_arguments

# The trainer refuses these itself where the machine, or another argument, does not allow them.
NEEDS_MORE = {"fp16", "tf32", "fp16_full_eval", "dataloader_prefetch_factor", "dataloader_persistent_workers"}
NEEDS_MORE |= {
    "torch_compile",
    "use_liger_kernel",
    "average_tokens_across_devices",
    "local_rank",
    "enable_jit_checkpoint",
}
# What the trainer works out for itself, whatever it is told.
WORKED_OUT = {"do_eval", "ddp_timeout"}


class SeenError(Exception):
    def __init__(self, arguments):
        super().__init__()
        self.arguments = arguments


class Spy(TrainerCallback):
    def on_train_begin(self, args, state, control, **_):
        raise SeenError(args)


def another(field, recipe):
    """A value that is not the default, nor what the recipe makes of it."""
    given = {"lr_scheduler_type": "cosine", "batch_sampler": "no_duplicates"}
    if field.name in given:
        return given[field.name]
    if field.type == "bool" or field.type is bool or isinstance(field.default, bool):
        return not field.default
    if isinstance(field.default, int):
        return field.default + 7
    if isinstance(field.default, float):
        return field.default / 2 + 0.125
    return {"prompts": "find: ", "router_mapping": {"anchor": "query"}, "data_seed": 3}.get(field.name)


def test_every_argument_wins_or_is_refused_by_name(tiny, tmp_path, triplets, dev, quick):
    from prompteol import PromptEOL

    model = PromptEOL(tiny("llama"), device="cpu")
    recipe, won, refused = replace(quick, lora=None), set(), set()
    for field in fields(SentenceTransformerTrainingArguments):
        value = another(field, recipe)
        if value is None or field.name in NEEDS_MORE | WORKED_OUT:
            continue
        out = tmp_path / field.name
        with pytest.raises((SettingError, SeenError)) as caught:
            train(model, out, triplets, recipe, dev=dev, arguments={field.name: value}, callbacks=[Spy()])
        if isinstance(caught.value, SettingError):
            assert field.name in str(caught.value), field.name
            assert not out.exists()
            refused.add(field.name)
        else:
            got = getattr(caught.value.arguments, field.name)
            assert getattr(got, "value", got) == value, field.name
            won.add(field.name)
    assert {"weight_decay", "max_steps", "per_device_eval_batch_size", "lr_scheduler_type", "batch_sampler"} <= won
    assert {"prompts", "per_device_train_batch_size", "learning_rate", "eval_steps", "save_steps", "seed"} <= refused


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"prompts": "find: "}, r"'prompts' is decided elsewhere; use the template of the model"),
        (
            {"per_device_train_batch_size": 8},
            r"'per_device_train_batch_size' is decided elsewhere; use Recipe\(batch_s",
        ),
        ({"eval_steps": 3}, r"'eval_steps' is decided elsewhere; use Recipe\(eval_steps=\.\.\.\)"),
        ({"save_strategy": "no"}, r"save_strategy='no' with eval_strategy='steps': the best evaluation would have no"),
        ({"save_strategy": "epoch"}, r"save_strategy='epoch' with eval_strategy='steps'"),
        ({"eval_strategy": "no"}, r"eval_strategy='no' with development pairs"),
        ({"wieght_decay": 0.1}, r"has no 'wieght_decay'; did you mean 'weight_decay'\?"),
    ],
)
def test_what_would_be_ignored_is_refused_before_the_base_is_looked_at(tmp_path, triplets, dev, quick, given, message):
    with pytest.raises(SettingError, match=message):
        train("/no/such/base", tmp_path / "out", triplets, quick, dev=dev, arguments=given)
    assert not (tmp_path / "out").exists()


def test_an_evaluation_without_pairs_is_refused(quick):
    with pytest.raises(SettingError, match="needs development pairs"):
        check_arguments({"eval_strategy": "steps"}, quick, scored=False)


def test_a_value_that_the_trainer_refuses(tiny, tmp_path, triplets, quick):
    wrong = {"lr_scheduler_type": "quickly"}
    with pytest.raises(SettingError, match=r"arguments: .*quickly"):
        train(tiny("llama"), tmp_path / "out", triplets, quick, arguments=wrong, device="cpu")


@pytest.mark.parametrize(
    ("arguments", "keep"),
    [
        ({}, "best"),
        ({"save_strategy": "best"}, "best"),
        ({"eval_strategy": "epoch", "save_strategy": "epoch"}, "best"),
        ({"save_strategy": "no"}, "last"),
        ({"eval_strategy": "epoch"}, "last"),
        ({"max_steps": 5}, "best"),
        ({"eval_delay": 7}, "best"),
    ],
)
def test_the_kept_score_is_that_of_the_returned_weights(tiny, tmp_path, triplets, dev, quick, arguments, keep):
    """Of a training that destroys the model, so that no two steps score alike."""
    recipe = replace(quick, lora=None, learning_rate=0.1, keep=keep)
    done = train(tiny("llama"), tmp_path / "out", triplets, recipe, dev=dev, arguments=arguments, device="cpu")
    cosine = done.model.similarity_pairwise(done.model.encode(dev.first), done.model.encode(dev.second))
    from scipy.stats import spearmanr

    found = 100 * spearmanr(cosine.numpy(), dev.scores).statistic
    assert done.kept is not None
    assert found == pytest.approx(done.kept.score, abs=0.5)
    if keep == "best":
        assert done.kept == done.best
    saved = load_file(done.out / "model.safetensors")
    assert saved.keys()
    assert f"those of step {done.kept.step}" in (done.out / "README.md").read_text()
