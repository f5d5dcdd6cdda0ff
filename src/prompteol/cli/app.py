"""Put the commands together, and turn every known failure into one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from inspect import cleandoc
from typing import Annotated, Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

from prompteol.cli import console
from prompteol.cli.benchmark import benchmark
from prompteol.cli.demo import demo
from prompteol.cli.encode import encode
from prompteol.cli.evaluate import evaluate, plot
from prompteol.cli.export import export
from prompteol.cli.model_options import with_option_groups
from prompteol.cli.models import create, info, merge
from prompteol.cli.reproduce import reproduce
from prompteol.cli.search import search
from prompteol.cli.texts import similarity, words
from prompteol.cli.train import train
from prompteol.cli.tune import tune
from prompteol.cli.verify import check, verify
from prompteol.errors import PromptEOLError


class _Command(TyperCommand):
    """Show arguments by their names alone, and no type for a flag, which takes no value."""

    def get_params(self, ctx: Any) -> Any:
        return _without_types(super().get_params(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        names = [str(param.metavar) for param in self.params if isinstance(param, TyperArgument)]
        return [self.options_metavar or "", *names]

    def make_context(self, info_name: Any, args: list[str], *arguments: Any, **options: Any) -> Any:
        with _printing_help():
            return super().make_context(info_name, _with_address(args), *arguments, **options)


class _Commands(TyperGroup):
    """Turn every known failure into one line on stderr and an exit code."""

    def get_params(self, ctx: Any) -> Any:
        return _without_types(super().get_params(ctx))

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        with _in_one_line(), _printing_help():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        with _in_one_line():
            return super().invoke(ctx)


def _without_types(params: list[Any]) -> list[Any]:
    for param in params:
        if getattr(param, "is_flag", False) and param.metavar is None:
            param.metavar = ""
        elif isinstance(param, TyperArgument):
            # Typer would show the Python type, such as <list[str]>.
            param.display_type_rich = lambda ctx: None  # type: ignore[method-assign]
    return params


def _with_address(arguments: list[str]) -> list[str]:
    """Give ``--ray`` an empty address if none follows; an address has a port or is one of Ray's own names."""
    if "--ray" not in arguments:
        return arguments
    place = arguments.index("--ray") + 1
    follows = arguments[place] if place < len(arguments) else ""
    given = follows in ("auto", "local") or (follows.rpartition(":")[2].isdigit() and not follows.startswith("-"))
    return arguments if given else [*arguments[:place], "", *arguments[place:]]


@contextmanager
def _printing_help() -> Iterator[None]:
    """Report a failure to write stdout while options are parsed, which is when ``--help`` is printed."""
    with console.stdout():
        try:
            yield
        except SystemExit as error:
            # Typer's own console exits if the reader of stdout went away.
            if isinstance(error.__context__, BrokenPipeError):
                raise BrokenPipeError from error
            raise


@contextmanager
def _in_one_line() -> Iterator[None]:
    try:
        with console.when_stopped("nothing half-written was left behind"):
            yield
    except PromptEOLError as error:
        console.error(str(error))
        raise typer.Exit(2) from None


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    encode, search, similarity, words, create, export, tune, train, merge, info, check, verify, evaluate, reproduce,
    plot, benchmark, demo,
):  # fmt: skip
    # Join the lines of each paragraph.
    shown = "\n\n".join(" ".join(part.split()) for part in cleandoc(command.__doc__ or "").split("\n\n"))
    alone = command in (info, check, benchmark, demo)
    app.command(cls=_Command, help=shown, no_args_is_help=not alone)(with_option_groups(command))


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        console.echo(f"prompteol {version('prompteol')}")
        raise typer.Exit


@app.callback()
def prompteol(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Sentence embeddings from any causal language model, by asking it for one word."""
