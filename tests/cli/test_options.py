"""An option has one name, one default and one help text, in all commands and in Python."""

import inspect
import re
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import typer

from prompteol import PromptEOL
from prompteol.cli import options
from prompteol.cli.app import app
from prompteol.cli.model_options import ModelOptions
from prompteol.training import Recipe

COMMANDS = typer.main.get_command(app).commands
LOADING = ("device", "threads")
EVERYWHERE = ("template", "demonstration", "layer", "normalization", "dtype", "engine", "revision", "trust_remote_code")
# Where a shared option is defined once more, with the reason.
OWN = {
    ("evaluate", "model"),  # several models
    ("reproduce", "model"),  # names of the paper's models
    ("benchmark", "model"),  # random models by default
    ("merge", "model"),  # an adapter, always
    ("tune", "template"),  # candidates, as are the next three
    ("tune", "demonstration"),
    ("tune", "layer"),
    ("tune", "technique"),
    ("tune", "fit_texts"),
    ("reproduce", "dtype"),  # the paper's
    ("export", "push_revision"),  # a branch beside the model's own
    ("export", "dtype"),  # the checkpoint's, on a CPU too
    ("train", "batch_size"),  # a hyperparameter
    ("train", "seed"),  # Recipe's default, 42
}
# A file or a folder, needed or not: what is written differs from command to command.
OUTPUTS = {"output"}


def described(parameter):
    shown = parameter.show_default if isinstance(parameter.show_default, str) else parameter.default
    return sorted(parameter.opts), parameter.metavar, parameter.help, shown


def test_a_shared_option_is_the_same_in_every_command():
    seen = {}
    for name, command in COMMANDS.items():
        for parameter in command.params:
            if parameter.param_type_name == "argument":
                continue
            flags = sorted(parameter.opts)
            expected = seen.setdefault(parameter.name, (flags, described(parameter), name))
            assert flags == expected[0], f"{name} {parameter.name} has other flags than {expected[2]}"
            if (name, parameter.name) not in OWN and parameter.name not in OUTPUTS:
                own = (expected[2], parameter.name) in OWN
                assert own or described(parameter) == expected[1], (name, parameter.name, expected[2])
                if own:
                    seen[parameter.name] = (flags, described(parameter), name)


def test_the_model_is_an_option_and_the_output_is_o_in_every_command():
    for name, command in COMMANDS.items():
        flags = {parameter.name: parameter.opts for parameter in command.params}
        assert name == "plot" or flags["model"] == ["--model", "-m"]
        assert flags.get("output", ["--output", "-o"]) == ["--output", "-o"]


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - {"plot"}))
def test_every_command_that_loads_a_model_says_how(name):
    there = {parameter.name for parameter in COMMANDS[name].params}
    missing = set(EVERYWHERE) - there
    # merge computes in float32 with the adapter's prompt; train sets the dtype; the other two set the prompt.
    prompt = {"template", "demonstration", "layer", "normalization"}
    alone = {"merge": prompt | {"dtype"}, "train": {"dtype"}}
    alone |= dict.fromkeys(("benchmark", "reproduce"), prompt | {"engine", "revision", "trust_remote_code"})
    assert missing == alone.get(name, set())
    assert set(LOADING) <= there


def test_python_has_the_same_names_and_defaults(prompteol):
    arguments = inspect.signature(PromptEOL.__init__).parameters
    ours = ModelOptions()
    for name in (
        "template",
        "layer",
        "normalization",
        "technique",
        "engine",
        "device",
        "revision",
        "trust_remote_code",
    ):
        assert getattr(ours, name) == arguments[name].default
    engine = get_type_hints(PromptEOL.__init__)["engine"]
    assert set(get_args(get_args(options.EngineOption)[0])) == set(get_args(engine))
    objectives = get_args(get_type_hints(Recipe)["objective"])
    refused = prompteol("train", "examples.txt", "-o", "model", "--objective", "other").stderr
    assert set(re.findall(r"'(\w+)'", refused.partition("is not one of")[2])) == set(objectives)


def test_the_page_names_every_option_with_a_default_of_its_own():
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    said = page[page.index("Their defaults are") : page.index("| option |")]
    for command, name in OWN:
        assert f"`{command}`" in said, command
        assert f"--{name.replace('_', '-')}" in said, name


def test_the_defaults_of_training_are_those_of_python():
    recipe, train = Recipe(), {parameter.name: described(parameter)[-1] for parameter in COMMANDS["train"].params}
    for name in (
        "temperature",
        "learning_rate",
        "warmup_steps",
        "batch_size",
        "epochs",
        "max_text_tokens",
        "eval_steps",
        "seed",
        "extra_share",
    ):
        assert float(train[name]) == getattr(recipe, name), name
    for name in ("rank", "alpha", "dropout"):
        assert train[f"lora_{name}"] == getattr(recipe.lora, name), name
    assert (train["objective"], train["keep_step"]) == (recipe.objective, recipe.keep)
    assert train["combine"] == recipe.combine


def test_every_line_of_help_stands_alone():
    for name, command in COMMANDS.items():
        for parameter in command.params:
            text = parameter.help or ""
            assert re.match(r"(auto |SentEval|[A-Z]).*\.$", text, re.DOTALL), (name, parameter.name, text)
            assert len(text.split()) >= 3, (name, parameter.name, text)
            assert not re.match(r"(Of|It|Its|Such|Before|Also|Over|By|Where|Here|The same)\b", text), (name, text)


def test_arguments_are_shown_by_name_alone(prompteol):
    for name in COMMANDS:
        shown = prompteol(name, "--help").stdout
        assert not re.search(r"<(list\[)?(str|Path|path)", shown), name
    assert "encode [OPTIONS] FILE..." in prompteol("encode", "--help").stdout
