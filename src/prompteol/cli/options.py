"""Options that several commands share, and the model they describe."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prompteol.cli import console
from prompteol.errors import LayerError
from prompteol.files import Format
from prompteol.files.tables import DELIMITERS
from prompteol.plots.picture_file import PICTURES
from prompteol.prompts import (
    TEMPLATES,
    NormalizationMode,
    resolve_demonstrations,
    resolve_template,
)

if TYPE_CHECKING:
    from prompteol import PromptEOL

__all__ = [
    "IMAGES",
    "BatchSizeOption",
    "ColumnOption",
    "DelimiterOption",
    "DemonstrationOption",
    "DeviceOption",
    "ForceOption",
    "FormatOption",
    "LayerOption",
    "ModelOption",
    "TemplateOption",
    "ThreadsOption",
    "check_device",
    "check_model",
    "load_model",
    "parse_layer",
    "prompt_options",
    "quiet",
    "use_threads",
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
        help="The column of a table to read, in any case.",
        show_default="text, or the only one",
    ),
]
FormatOption = Annotated[
    Format | None,
    typer.Option("--format", help="How to read the input.", show_default="by the file's suffix; a pipe as txt"),
]
DelimiterOption = Annotated[
    str | None,
    typer.Option(
        "--delimiter",
        metavar="CHARACTER",
        help=f"What separates the fields of a .csv or .tsv: {', '.join(DELIMITERS)}, or the character.",
        show_default="the one that the header holds",
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="N",
        min=1,
        help="Threads of the processor to compute with; few where others compute too.",
        show_default="torch's own",
    ),
]
IMAGES = f"{', '.join(PICTURES[:-1])} or {PICTURES[-1]} file"
"""The forms of pictures, for the help of an option."""
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
    threads: int | None = None,
) -> PromptEOL:
    """Make the model that the options describe; what is wrong with an option is said before anything loads."""
    prompt = prompt_options(template, demonstrations, layer, normalization)
    with console.waiting("loading the model"):
        quiet()
        use_threads(threads)
        check_device(device)
        from prompteol import PromptEOL

        kwargs = {"dtype": dtype} if dtype else None
        return PromptEOL(model, **prompt, device=device, model_kwargs=kwargs)


def check_model(
    model: str | None,
    *,
    template: str | None = None,
    normalization: NormalizationMode | None = None,
    demonstrations: list[str] | None = None,
    layer: str | None = None,
    device: str | None = None,
) -> None:
    """Say what is wrong with the options and small files of a model: before outputs are looked at, or weights."""
    prompt_options(template, demonstrations, layer, normalization)
    check_device(device)
    if model is None:
        return
    quiet()
    from prompteol.model import check_causal, find_source

    # Where SentenceTransformer looks by default.
    source = find_source(model, cache_folder=os.environ.get("SENTENCE_TRANSFORMERS_HOME"))
    if source.kind == "base":
        check_causal(source)


def use_threads(count: int | None) -> None:
    """Compute with so many threads of the processor; ``None`` leaves it to the libraries."""
    if count is None:
        return
    # Read by the tokenizers when they first run in parallel.
    os.environ["RAYON_NUM_THREADS"] = str(count)
    import torch

    torch.set_num_threads(count)


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
    from prompteol.model import placement

    placement.check_device(device, "--device ")


def quiet() -> None:
    """Keep the bars and load reports of libraries out of the output; our own warnings are shown."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
