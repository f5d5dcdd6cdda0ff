"""The trainer's arguments win or are refused by name, and what is kept is what is returned."""

from dataclasses import fields, replace

import pytest
import torch
from scipy.stats import spearmanr
from sentence_transformers import SentenceTransformerTrainingArguments

from prompteol.errors import SettingError
from prompteol.training import train
from prompteol.training.trainer import check_arguments, training_arguments

# The trainer refuses these itself where the machine, or another argument, does not allow them.
NEEDS_MORE = {"fp16", "tf32", "fp16_full_eval", "dataloader_persistent_workers", "torch_compile", "use_liger_kernel"}
NEEDS_MORE |= {"average_tokens_across_devices", "local_rank", "enable_jit_checkpoint"}
# What the trainer works out for itself, whatever it is told.
WORKED_OUT = {"do_eval"}
OTHERS = {
    "output_dir": "elsewhere",
    "eval_steps": 4,
    "eval_strategy": "epoch",
    "save_strategy": "epoch",
    "save_total_limit": 7,
    "metric_for_best_model": "eval_pearson_cosine",
    "greater_is_better": False,
    "resume_from_checkpoint": "elsewhere",
    "warmup_ratio": 0.25,
    "disable_tqdm": False,
    "data_seed": 3,
    "lr_scheduler_type": "cosine",
    "batch_sampler": "no_duplicates",
    "prompts": "find: ",
    "router_mapping": {"anchor": "query"},
    "learning_rate_mapping": {"lora": 0.25},
}


def another(field):
    """A value that is neither the default nor what the recipe makes of it."""
    default = field.default
    if field.name in OTHERS:
        return OTHERS[field.name]
    if isinstance(default, bool):
        return not default
    if isinstance(default, int):
        return default + 7
    return default / 2 + 0.125 if isinstance(default, float) else None


def test_every_argument_wins_or_is_refused_by_name(tmp_path, quick):
    won, refused = set(), set()
    for field in fields(SentenceTransformerTrainingArguments):
        name, value = field.name, another(field)
        if value is None or name in NEEDS_MORE | WORKED_OUT:
            continue
        try:
            check_arguments({name: value}, quick, scored=True)
        except SettingError as error:
            refused |= {name} if name in str(error) else set()
            continue
        given = {"device": torch.device("cpu"), "scored": True, "quiet": True}
        got = getattr(training_arguments(quick, tmp_path, **given, further={name: value}), name)
        won |= {name} if getattr(got, "value", got) == value else set()
    tried = {field.name for field in fields(SentenceTransformerTrainingArguments) if another(field) is not None}
    assert won | refused == tried - NEEDS_MORE - WORKED_OUT
    assert {"weight_decay", "max_steps", "per_device_eval_batch_size", "data_seed", "disable_tqdm"} <= won
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


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"weight_decay": "abc"}, r"weight_decay='abc': expected float"),
        ({"save_total_limit": "3"}, r"save_total_limit='3': expected int"),
        ({"bf16": "yes"}, r"bf16='yes': expected bool"),
        ({"optim": "lomo"}, r"optim='lomo': .*lomo"),
        ({"optim": "adamw_bnb_8bit", "weight_decay": 0}, r"arguments: optim='adamw_bnb_8bit': .*bitsandbytes"),
        ({"optim": "quick"}, r"optim='quick': .*quick"),
        ({"adam_beta1": 2.0, "weight_decay": 0.1}, r"arguments: adam_beta1=2.0: .*beta"),
        ({"lr_scheduler_kwargs": {"slope": 1}}, r"lr_scheduler_kwargs=\{'slope': 1\}: "),
        ({"report_to": "nobody"}, r"report_to='nobody': .*nobody"),
        ({"push_to_hub": True}, r"push_to_hub=True: "),
    ],
)
def test_what_the_trainer_cannot_take_is_named_before_the_base_is_looked_at(tmp_path, triplets, quick, given, message):
    with pytest.raises(SettingError, match=message) as raised:
        train("/no/such/base", tmp_path / "out", triplets, quick, arguments=given, device="cpu")
    assert "\n" not in str(raised.value)
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
    found = 100 * spearmanr(cosine.numpy(), dev.scores).statistic
    assert done.kept is not None
    assert found == pytest.approx(done.kept.score, abs=0.5)
    if keep == "best":
        assert done.kept == done.best
    assert f"those of step {done.kept.step}" in (done.output / "README.md").read_text()
