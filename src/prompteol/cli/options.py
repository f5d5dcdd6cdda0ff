"""Define each option that several commands share, once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from prompteol.files import Format
from prompteol.files.tables import DELIMITERS
from prompteol.plots.picture_file import PICTURES
from prompteol.prompts import TEMPLATES, NormalizationMode
from prompteol.techniques import TECHNIQUES

__all__ = [
    "IMAGES",
    "BatchSizeOption",
    "ColumnOption",
    "DelimiterOption",
    "DemonstrationOption",
    "DeviceOption",
    "Dtype",
    "DtypeOption",
    "EngineOption",
    "FitTextsOption",
    "ForceOption",
    "FormatOption",
    "LayerOption",
    "ModelFolderOption",
    "ModelOption",
    "NormalizationOption",
    "PlotOption",
    "ResumeOption",
    "RevisionOption",
    "SentEvalOption",
    "TechniqueOption",
    "TemplateOption",
    "ThreadsOption",
    "TrustRemoteCodeOption",
]

IMAGES = f"{', '.join(PICTURES[:-1])} or {PICTURES[-1]} file"
"""The kinds of pictures, for the help of an option."""
Dtype = Literal["float32", "bfloat16", "float16"]

# The model, and the prompt around a text.
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="The folder or Hub name of a causal LM, an adapter or a saved model.",
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
        help="An example to show before the text, or a preset such as opt-2.7b. May be repeated.",
        show_default="the saved model's, else none",
    ),
]
LayerOption = Annotated[
    str | None,
    typer.Option(
        "--layer",
        metavar="LAYER",
        help="The layer to read: counted from the end (-1, -2, ...) or a share of the depth (0.9).",
        show_default="the saved model's, else -1",
    ),
]
NormalizationOption = Annotated[
    NormalizationMode | None,
    typer.Option(
        "--normalization",
        help="How a text is normalized before it is put into the template.",
        show_default="the template's own",
    ),
]
TechniqueOption = Annotated[
    list[str] | None,
    typer.Option(
        "--technique",
        metavar="NAME[:OPTION=VALUE,...]",
        help=f"Another way from a text to its vector ({', '.join(TECHNIQUES)}). May be repeated.",
        show_default="the saved model's, else none",
    ),
]
FitTextsOption = Annotated[
    str | None,
    typer.Option(
        "--fit-texts",
        metavar="FILE",
        help="The texts, without labels, to fit a technique on that needs some, such as whitening.",
        show_default="none",
    ),
]

# How the model is loaded.
EngineOption = Annotated[
    Literal["auto", "stock"],
    typer.Option(
        "--engine", help="auto runs the packed forward once it is verified; stock always runs the reference forward."
    ),
]
DtypeOption = Annotated[
    Dtype | None,
    typer.Option(
        "--dtype", help="The data type of the weights.", show_default="float32 on a CPU, else the checkpoint's"
    ),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="The device to compute on, such as cpu, cuda or mps.",
        show_default="the best there is",
    ),
]
RevisionOption = Annotated[
    str | None,
    typer.Option(
        "--revision",
        metavar="REVISION",
        help="The branch, tag or commit of a model on the Hub.",
        show_default="its main branch",
    ),
]
TrustRemoteCodeOption = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run Python code that the model's repository brings.")
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads", metavar="N", min=1, help="The number of CPU threads to compute with.", show_default="PyTorch's own"
    ),
]
BatchSizeOption = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        "-b",
        metavar="N",
        min=1,
        help="The number of texts the model gets at once.",
        show_default="what runs fastest",
    ),
]

# Input files.
ColumnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        "-c",
        metavar="NAME",
        help="A column of the table to read, in upper or lower case. May be repeated where several are read.",
        show_default="found by common names",
    ),
]
FormatOption = Annotated[
    Format | None,
    typer.Option(
        "--format", help="The format of the input.", show_default="what the file's suffix names; txt for a pipe"
    ),
]
DelimiterOption = Annotated[
    str | None,
    typer.Option(
        "--delimiter",
        metavar="CHARACTER",
        help=f"What separates the fields of a .csv or .tsv file: {', '.join(DELIMITERS)}, or the character itself.",
        show_default="the one that the header holds",
    ),
]
SentEvalOption = Annotated[
    Path | None,
    typer.Option(
        "--senteval",
        metavar="FOLDER",
        help="SentEval's folder data/downstream, or a folder of the raw STS folders.",
        show_default="the Hub, through datasets",
    ),
]

# Outputs.
ModelFolderOption = Annotated[
    Path, typer.Option("--output", "-o", metavar="FOLDER", help="The folder to save the model in.")
]
PlotOption = Annotated[
    Path | None,
    typer.Option("--plot", metavar="IMAGE", help=f"Draw a picture of the results, to a {IMAGES}."),
]
ForceOption = Annotated[
    bool, typer.Option("--force", "-f", help="Replace what is at the output; of a folder, only a saved model.")
]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Keep the work that the output holds already, and do the rest.")
]
