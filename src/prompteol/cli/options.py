"""Options that several commands share, and the model they describe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from prompteol.cli import console
from prompteol.corpus import Format
from prompteol.errors import LayerError
from prompteol.prompts import (
    TEMPLATES,
    NormalizationMode,
    resolve_demonstrations,
    resolve_template,
)

if TYPE_CHECKING:
    from prompteol import PromptEOL

__all__ = [
    "BatchSizeOption",
    "ColumnOption",
    "DemonstrationOption",
    "DeviceOption",
    "ForceOption",
    "FormatOption",
    "LayerOption",
    "ModelOption",
    "TemplateOption",
    "check_device",
    "load_model",
    "parse_layer",
    "prompt_options",
    "quiet",
]

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="A causal LM, an adapter or a saved model: folder or Hub name.",
        show_default="the model that ships with the package",
    ),
]
TemplateOption = Annotated[
    str | None,
    typer.Option(
        "--template",
        "-t",
        metavar="TEMPLATE",
        help=f"A preset ({', '.join(TEMPLATES)}) or your own wording, with {{text}} where the text goes.",
        show_default="the saved model's, else prompteol",
    ),
]
DemonstrationOption = Annotated[
    list[str] | None,
    typer.Option(
        "--demonstration",
        "-d",
        metavar="SENTENCE=>WORD",
        help="An example to put before the text, or a preset such as opt-2.7b; may be repeated.",
    ),
]
LayerOption = Annotated[
    str | None,
    typer.Option(
        "--layer",
        metavar="LAYER",
        help="The layer to read: from the end (-1, -2, ...) or as a share of the depth (0.9).",
        show_default="the saved model's, else -1",
    ),
]
DeviceOption = Annotated[
    str | None,
    typer.Option("--device", metavar="DEVICE", help="Such as cpu, cuda or mps.", show_default="the best there is"),
]
BatchSizeOption = Annotated[
    int | None,
    typer.Option(
        "--batch-size", "-b", metavar="N", min=1, help="Texts handed over at once.", show_default="what runs fastest"
    ),
]
ColumnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        "-c",
        metavar="NAME",
        help="The column of a table to read.",
        show_default="text, or the only one",
    ),
]
FormatOption = Annotated[
    Format | None,
    typer.Option("--format", help="How to read the input.", show_default="by the file's suffix; a pipe as txt"),
]
ForceOption = Annotated[bool, typer.Option("--force", "-f", help="Replace the output if it exists.")]


def load_model(
    model: str | None,
    *,
    template: str | None = None,
    normalization: NormalizationMode | None = None,
    demonstrations: list[str] | None = None,
    layer: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
) -> PromptEOL:
    """Make the model that the options describe; what is wrong with an option is said before anything loads."""
    prompt = prompt_options(template, demonstrations, layer, normalization)
    with console.waiting("loading the model"):
        quiet()
        check_device(device)
        from prompteol import PromptEOL

        kwargs = {"dtype": dtype} if dtype else None
        return PromptEOL(model, **prompt, device=device, model_kwargs=kwargs)


def prompt_options(
    template: str | None,
    demonstrations: list[str] | None,
    layer: str | None,
    normalization: NormalizationMode | None = None,
) -> dict[str, Any]:
    """Return what ``PromptEOL`` is told of its prompt; what is wrong is said before anything loads."""
    if template is not None:
        resolve_template(template)
    return {
        # By its name, which a saved model then records.
        "template": template,
        "normalization": normalization,
        "demonstrations": [shot for given in demonstrations or () for shot in resolve_demonstrations(given)] or None,
        "layer": None if layer is None else parse_layer(layer),
    }


def parse_layer(text: str) -> int | float:
    """Read a layer as people write it: ``-2``, or a share of the depth, ``0.9``."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise LayerError(f"--layer {text!r} is neither a layer such as -2 nor a share of the depth such as 0.9")


def check_device(device: str | None) -> None:
    """Refuse a device that is not there."""
    if device is None:
        return
    from prompteol.backbone import placement

    placement.check_device(device, "--device ")


def quiet() -> None:
    """Keep the bars and load reports of libraries out of the output; our own warnings are shown."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
