"""Run ``prompteol info``: describe a model without reading its weights."""

from __future__ import annotations

import json as json_format
from dataclasses import replace
from typing import Annotated

import typer
from rich.table import Table

from prompteol.cli import console
from prompteol.cli.model_options import ModelOptions, quiet
from prompteol.cli.options import ModelOption
from prompteol.errors import SettingError

__all__ = ["info"]


def info(
    *,
    model: ModelOption = None,
    options: ModelOptions,
    fingerprint: Annotated[
        bool,
        typer.Option(
            "--fingerprint", help="Read all weights, on the CPU unless --device says otherwise, and hash them anew."
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show a model's backbone, its template as rendered, and the shape of its embeddings.

    Configuration, tokenizer and the headers of the weights are read, not the weights. The fingerprint is the one that
    a saved model was saved with.
    """
    prompt = options.prompt()
    if options.technique or options.fit_texts:
        raise SettingError("info describes a model as it is: create one with --technique, then describe that")
    with console.waiting("reading the configuration"):
        quiet()
        from prompteol.loading import model_info

        found = model_info(model, **prompt, **options.loading())
    facts = {"model": model or "the one that ships with prompteol", **found.as_record()}
    if fingerprint:
        facts["fingerprint"] = replace(options, device=options.device or "cpu").load(model).fingerprint()
    if json:
        console.echo(json_format.dumps(facts, ensure_ascii=False, indent=2))
        return
    table = Table(show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name.replace("_", " "), console.cell(_shown(value)))
    console.show(table)


def _shown(value: object) -> str:
    if value is None:
        return "not known without reading the weights: --fingerprint"
    if isinstance(value, list):
        return "; ".join(f"{shown['sentence']} => {shown['word']}" for shown in value) or "none"
    if value == "":
        return "none"
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)
