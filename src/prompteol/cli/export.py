"""Run ``prompteol export``: write a folder that servers give a model's own vectors from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.table import Table

from prompteol.cli import console
from prompteol.cli.model_options import ModelOptions
from prompteol.cli.options import Dtype, ForceOption, ModelOption, option
from prompteol.files.atomic import check_folder
from prompteol.prompts import PromptTask

if TYPE_CHECKING:
    from prompteol import PromptEOL


@dataclass(frozen=True, kw_only=True)
class ExportedModelOptions(ModelOptions):
    """Describe a model whose weights keep the checkpoint's data type, on a CPU too."""

    dtype: Annotated[
        Dtype | None, option("--dtype [the checkpoint's]", "The data type of the weights that are written.")
    ] = None

    def load(self, model: str | None) -> PromptEOL:
        """Load the model in the data type that is written."""
        return super().load(model) if self.dtype else replace(self, dtype="auto").load(model)  # type: ignore[arg-type]


def export(
    *,
    model: ModelOption = None,
    output: Annotated[Path, option("--output -o FOLDER", "The folder to write.")],
    task: Annotated[
        PromptTask | None,
        option("--task TASK [none]", "Which template of a pair to write, query or document: a folder each."),
    ] = None,
    normalize: Annotated[bool, option("--normalize", "Have vectors scaled to length 1.")] = False,
    allow_inexact: Annotated[
        bool, option("--allow-inexact", "Write the folder even if ordinary texts get other tokens or vectors.")
    ] = False,
    options: ExportedModelOptions,
    force: ForceOption = False,
) -> None:
    """Write a folder that gives a model's vectors for plain text, wherever its tokenizer is read.

    The prompt is in tokenizer.json, so vLLM, Text Embeddings Inference and infinity need no template. Everything is
    loaded again and compared before it is there.
    """
    options.check(model)
    check_folder(output, force=force)
    loaded = options.load(model)
    with console.waiting("exporting"):
        from prompteol.saving.export import export as export_model
        from prompteol.saving.export.commands import table

        done = export_model(loaded, output, task=task, normalize=normalize, allow_inexact=allow_inexact, force=force)
    header, *rows = table(done.comparisons)
    shown = Table(*header)
    for row in rows:
        shown.add_row(*row)
    console.show(shown)
    for server, command in done.commands.items():
        console.note(f"{server}: {command}")
