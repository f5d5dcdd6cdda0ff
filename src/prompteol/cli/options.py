"""Define each option that several commands share, once."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from prompteol.files import Format
from prompteol.files.tables import DELIMITERS
from prompteol.plots.picture import PICTURES
from prompteol.prompts import TEMPLATES, NormalizationMode, PromptTask
from prompteol.techniques import TECHNIQUES


def option(usage: str, help: str, **settings: Any) -> Any:
    """Make an option from a usage such as ``--seed -s N [42]``: its flags, its metavar, and the default to show.

    Without a default in brackets, the parameter's own default is shown.
    """
    spelled, _, default = usage.removesuffix("]").partition(" [")
    words = spelled.split()
    flags = [word for word in words if word.startswith("-")]
    metavar = next((word for word in words if word not in flags), None)
    return typer.Option(*flags, metavar=metavar, help=help, show_default=default or True, **settings)


IMAGES = f"{', '.join(PICTURES[:-1])} or {PICTURES[-1]} file"
"""The file formats of pictures, for help texts."""
Dtype = Literal["float32", "bfloat16", "float16"]

# The model, and the prompt around a text.
ModelOption = Annotated[
    str | None,
    option(
        "--model -m MODEL [the model that ships with the package]",
        "The folder or Hub name of a causal LM, an adapter or a saved model, or a .gguf file.",
    ),
]
TemplateOption = Annotated[
    str | None,
    option(
        "--template -t TEMPLATE [the saved model's, else prompteol]",
        f"A preset ({', '.join(TEMPLATES)}) or your own wording, with {{text}} where the text goes.",
    ),
]
DemonstrationOption = Annotated[
    list[str] | None,
    option(
        "--demonstration -d SENTENCE=>WORD [the saved model's, else none]",
        "An example to show before the text, or a preset such as opt-2.7b. May be repeated.",
    ),
]
LayerOption = Annotated[
    str | None,
    option(
        "--layer LAYER [the saved model's, else -1]",
        "The layer to read: counted from the end (-1, -2, ...) or a share of the depth (0.9).",
    ),
]
NormalizationOption = Annotated[
    NormalizationMode | None,
    option("--normalization [the template's own]", "How a text is normalized before it is put into the template."),
]
TechniqueOption = Annotated[
    list[str] | None,
    option(
        "--technique NAME[:OPTION=VALUE,...] [the saved model's, else none]",
        f"A technique that changes how a text is embedded ({', '.join(TECHNIQUES)}). May be repeated.",
    ),
]
FitTextsOption = Annotated[
    str | None,
    option(
        "--fit-texts FILE [none]",
        "The file of texts, without labels, to fit a technique such as whitening on.",
    ),
]

# How the model is loaded.
EngineOption = Annotated[
    Literal["auto", "stock"],
    option(
        "--engine",
        "auto runs the fast packed forward where it is verified; stock always runs the padded reference forward.",
    ),
]
DtypeOption = Annotated[
    Dtype | None, option("--dtype [float32 on a CPU, else the checkpoint's]", "The data type of the weights.")
]
DeviceOption = Annotated[
    str | None, option("--device DEVICE [the best there is]", "The device to compute on, such as cpu, cuda or mps.")
]
RevisionOption = Annotated[
    str | None, option("--revision REVISION [its main branch]", "The branch, tag or commit of a model on the Hub.")
]
GGUFFileOption = Annotated[
    str | None,
    option(
        "--gguf-file FILE [the only one, if there is no other model]",
        "The name of a GGUF file in the folder or repository, to take the weights from (extra: gguf).",
    ),
]
TrustRemoteCodeOption = Annotated[bool, option("--trust-remote-code", "Run Python code from the model's repository.")]
ThreadsOption = Annotated[
    int | None, option("--threads N [PyTorch's own]", "The number of CPU threads to compute with.", min=1)
]
BatchSizeOption = Annotated[
    int | None, option("--batch-size -b N [what runs fastest]", "The number of texts to embed at once.", min=1)
]

# Input files.
ColumnOption = Annotated[
    list[str] | None,
    option(
        "--column -c NAME [found by common names]",
        "The name of a column to read; upper and lower case count as the same. Give one option per column.",
    ),
]
FormatOption = Annotated[
    Format | None, option("--format [what the file's suffix names; txt for a pipe]", "The format of the input.")
]
DelimiterOption = Annotated[
    str | None,
    option(
        "--delimiter CHARACTER [the one that the header holds]",
        f"What separates the fields of a .csv or .tsv file: {', '.join(DELIMITERS)}, or the character itself.",
    ),
]
OnErrorOption = Annotated[
    Literal["stop", "skip"],
    option("--on-error", "At a row that cannot be embedded, stop, or skip the row and report it."),
]
SentEvalOption = Annotated[
    Path | None,
    option(
        "--senteval FOLDER [the Hub, through datasets]",
        "SentEval's folder data/downstream, or a folder that holds the raw STS folders.",
    ),
]

TaskOption = Annotated[PromptTask | None, typer.Option("--task", help="Use the prompt for queries or for documents.")]
NormalizeOption = Annotated[bool, option("--normalize", "Scale each vector to length 1.")]

# Outputs.
OptionalFolderOption = Annotated[
    Path | None, option("--output -o FOLDER", "The folder to write; optional with --push.")
]
ModelFolderOption = Annotated[Path, option("--output -o FOLDER", "The folder to save the model in.")]
PlotOption = Annotated[Path | None, option("--plot IMAGE", f"Draw the results, too, as a picture: a {IMAGES}.")]
ForceOption = Annotated[bool, option("--force -f", "Replace an output that exists; a folder only if it holds a model.")]
ResumeOption = Annotated[bool, option("--resume", "Go on with the unfinished work in the output folder.")]
