"""The commands put together, and what happens when one fails."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from prompteol.cli import console
from prompteol.cli.benchmark import benchmark
from prompteol.cli.create import create
from prompteol.cli.encode import encode
from prompteol.cli.evaluate import evaluate
from prompteol.cli.info import info
from prompteol.cli.merge import merge
from prompteol.cli.plot import plot
from prompteol.cli.reproduce import reproduce
from prompteol.cli.search import search
from prompteol.cli.similarity import similarity
from prompteol.cli.train import train
from prompteol.cli.words import words
from prompteol.errors import PromptEOLError

__all__ = ["app"]


class _Commands(TyperGroup):
    """Turn every failure we know into one line on stderr: exit code 2, or 130 for Ctrl-C."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except PromptEOLError as error:
            console.error(str(error))
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            console.error("interrupted; nothing half-written was left behind")
            raise typer.Exit(console.INTERRUPTED) from None


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (encode, similarity, words, create, search, train, merge, info, evaluate, reproduce, plot, benchmark):
    app.command(no_args_is_help=command not in (info, benchmark))(command)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"prompteol {version('prompteol')}")
        raise typer.Exit


@app.callback()
def prompteol(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and leave.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Sentence embeddings from any causal language model, by asking it for one word."""
