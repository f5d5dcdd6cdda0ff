"""Run ``prompteol verify`` and ``check``: compare a server with the local model, and look for faults in a model."""

from __future__ import annotations

import json as json_format
import os
from typing import Annotated, Any

import typer
from rich.table import Table

from prompteol.cli import console
from prompteol.cli.model_options import ModelOptions
from prompteol.cli.options import ModelOption, TaskOption, option
from prompteol.errors import SettingError
from prompteol.files.model_folders import locate_model

_KEY = "PROMPTEOL_API_KEY"


def verify(
    *,
    url: Annotated[
        str, typer.Argument(metavar="URL", help="The server's URL, or that of its /v1/embeddings, or of TEI's /embed.")
    ],
    model: ModelOption = None,
    options: ModelOptions,
    task: TaskOption = None,
    input: Annotated[
        list[str] | None,
        option(
            "--input FORM [each that the server takes]",
            "A form of input to send: plain, messages or tokens. May be repeated.",
        ),
    ] = None,
    served_model: Annotated[
        str | None, option("--served-model NAME [the first that the server lists]", "The model's name on the server.")
    ] = None,
    api_key: Annotated[
        str, option("--api-key VARIABLE", "The environment variable that holds the key for the server.")
    ] = _KEY,
    tolerance: Annotated[
        float, option("--tolerance X", "The largest allowed difference between entries of unit vectors.", min=0.0)
    ] = 1e-5,
    timeout: Annotated[float, option("--timeout SECONDS", "The time to wait for each answer.", min=0.001)] = 60.0,
    json: Annotated[bool, option("--json", "Print one JSON object.")] = False,
) -> None:
    """Verify that a server gives the local model's vectors; name the fault if it does not.

    Requests hold plain text, chat messages and token ids, a long text, one text or several, base64 and dimensions. The
    exit code is 0 if every answer is exact, 1 if one is wrong, 2 if the server gives none.
    """
    key = os.environ.get(api_key)
    if key is None and api_key != _KEY:
        # The value is not shown, as it may be the key itself.
        raise SettingError(f"--api-key names no environment variable that is set: export {_KEY}, or give the name")
    options.check(model)
    from prompteol.serving.verify import FORMS, verify

    forms: Any = input or FORMS
    with console.waiting("asking the server"):
        found = verify(
            url, model, inputs=forms, task=task, name=served_model, api_key=key or "", tolerance=tolerance,
            timeout=timeout, load=options.load,
        )  # fmt: skip
    if json:
        console.echo(json_format.dumps(found.as_record(), ensure_ascii=False, indent=2))
    else:
        table = Table(
            "sent", "answer", "cosine", "difference", "what it is", "what mends it", title=console.cell(found.server)
        )
        for one in found.findings:
            cosine = "" if one.cosine is None else f"{one.cosine:.5f}"
            difference = "" if one.difference is None else f"{one.difference:.0e}"
            what = ": ".join(filter(None, (one.fault, one.detail)))
            table.add_row(one.request, one.verdict, cosine, difference, console.cell(what), console.cell(one.mend))
        console.show(table)
    if not found.exact:
        raise typer.Exit(1)


def check(
    *,
    folder: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="A model to check, in place of --model.")
    ] = None,
    model: ModelOption = None,
    options: ModelOptions,
    json: Annotated[bool, option("--json", "Print one JSON object.")] = False,
) -> None:
    """Check a model before it is used or served: its prompt, its numerics, its saved form.

    The exit code is 0 if nothing is wrong, else 1.
    """
    if folder is not None and model is not None:
        raise SettingError(f"two models, {folder!r} and --model {model!r}: give one of them")
    name = folder or model
    if name is not None:
        locate_model(name, options.gguf_file)
    options.prompt()
    from prompteol.serving.check import check

    with console.waiting("checking"):
        found = check(name, load=options.load)
    if json:
        console.echo(json_format.dumps(found.as_record(), ensure_ascii=False, indent=2))
    else:
        console.show(_checks(found))
    if not found.healthy:
        raise typer.Exit(1)


def _checks(found: Any) -> Table:
    table = Table("check", "result", "what was seen", "what mends it")
    for one in found.findings:
        table.add_row(one.check, one.verdict, console.cell(one.detail), console.cell(one.mend))
    return table
