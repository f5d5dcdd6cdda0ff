"""Define each option that several commands share, once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from prompteol.files import Format
from prompteol.files.tables import DELIMITERS
from prompteol.plots.picture import PICTURES
from prompteol.prompts import TEMPLATES, NormalizationMode


def option(usage: str, help: str, *, default: str | bool = True, **settings: Any) -> Any:
    """Make an option from its flags and metavar as a usage line has them, such as ``--seed -s N``, and one sentence.

    ``default`` is what help shows as the default; ``True`` shows the parameter's.
    """
    words = usage.split()
    flags = [word for word in words if word.startswith("-")]
    metavar = next((word for word in words if word not in flags), None)
    return typer.Option(*flags, metavar=metavar, help=help, show_default=default, **settings)


IMAGES = f"{', '.join(PICTURES[:-1])} or {PICTURES[-1]} file"
"""The kinds of pictures, for the help of an option."""
Dtype = Literal["float32", "bfloat16", "float16"]

# The model, and the prompt around a text.
ModelOption = Annotated[
    str | None,
    option(
        "--model -m MODEL",
        "The folder or Hub name of a causal LM, an adapter or a saved model.",
        default="the model that ships with the package",
    ),
]
TemplateOption = Annotated[
    str | None,
    option(
        "--template -t TEMPLATE",
        f"A preset ({', '.join(TEMPLATES)}) or your own wording, with {{text}} where the text goes.",
        default="the saved model's, else prompteol",
    ),
]
DemonstrationOption = Annotated[
    list[str] | None,
    option(
        "--demonstration -d SENTENCE=>WORD",
        "An example to show before the text, or a preset such as opt-2.7b. May be repeated.",
        default="the saved model's, else none",
    ),
]
LayerOption = Annotated[
    str | None,
    option(
        "--layer LAYER",
        "The layer to read: counted from the end (-1, -2, ...) or a share of the depth (0.9).",
        default="the saved model's, else -1",
    ),
]
NormalizationOption = Annotated[
    NormalizationMode | None,
    option(
        "--normalization", "How a text is normalized before it is put into the template.", default="the template's own"
    ),
]

# How the model is loaded.
EngineOption = Annotated[
    Literal["auto", "stock"],
    option("--engine", "auto runs the packed forward once it is verified; stock always runs the reference forward."),
]
DtypeOption = Annotated[
    Dtype | None, option("--dtype", "The data type of the weights.", default="float32 on a CPU, else the checkpoint's")
]
DeviceOption = Annotated[
    str | None,
    option("--device DEVICE", "The device to compute on, such as cpu, cuda or mps.", default="the best there is"),
]
RevisionOption = Annotated[
    str | None,
    option("--revision REVISION", "The branch, tag or commit of a model on the Hub.", default="its main branch"),
]
TrustRemoteCodeOption = Annotated[
    bool, option("--trust-remote-code", "Run Python code that the model's repository brings.")
]
ThreadsOption = Annotated[
    int | None, option("--threads N", "The number of CPU threads to compute with.", default="PyTorch's own", min=1)
]
BatchSizeOption = Annotated[
    int | None,
    option("--batch-size -b N", "The number of texts the model gets at once.", default="what runs fastest", min=1),
]

# Input files.
ColumnOption = Annotated[
    list[str] | None,
    option(
        "--column -c NAME",
        "A column of the table to read, in upper or lower case. May be repeated where several are read.",
        default="found by common names",
    ),
]
FormatOption = Annotated[
    Format | None,
    option("--format", "The format of the input.", default="what the file's suffix names; txt for a pipe"),
]
DelimiterOption = Annotated[
    str | None,
    option(
        "--delimiter CHARACTER",
        f"What separates the fields of a .csv or .tsv file: {', '.join(DELIMITERS)}, or the character itself.",
        default="the one that the header holds",
    ),
]
SentEvalOption = Annotated[
    Path | None,
    option(
        "--senteval FOLDER",
        "SentEval's folder data/downstream, or a folder of the raw STS folders.",
        default="the Hub, through datasets",
    ),
]

# Outputs.
ModelFolderOption = Annotated[Path, option("--output -o FOLDER", "The folder to save the model in.")]
PlotOption = Annotated[Path | None, option("--plot IMAGE", f"Draw a picture of the results, to a {IMAGES}.")]
ForceOption = Annotated[bool, option("--force -f", "Replace what is at the output; of a folder, only a saved model.")]
ResumeOption = Annotated[bool, option("--resume", "Keep the work that the output holds already, and do the rest.")]
