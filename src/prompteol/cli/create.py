"""``prompteol create``: a base model and a prompt, saved as a model that stock sentence-transformers loads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prompteol.cli import console
from prompteol.cli.options import DemonstrationOption, LayerOption, TemplateOption, check_model, load_model
from prompteol.files.folders import atomic_folder, check_folder
from prompteol.prompts import NormalizationMode

__all__ = ["create"]


def create(
    base: Annotated[str, typer.Argument(metavar="BASE", help="A causal LM or an adapter: folder or Hub name.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to make.")],
    template: TemplateOption = None,
    demonstration: DemonstrationOption = None,
    layer: LayerOption = None,
    normalization: Annotated[
        NormalizationMode | None,
        typer.Option(
            "--normalization",
            help="What is done to a text before it fills the template.",
            show_default="the template's own",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace OUT if it is such a model.")] = False,
) -> None:
    """Save a base model with its prompt in one folder.

    SentenceTransformer("OUT") loads it, also where this package is not installed.
    """
    check_model(base, template=template, normalization=normalization, demonstrations=demonstration, layer=layer)
    check_folder(out, force=force)
    model = load_model(base, template=template, normalization=normalization, demonstrations=demonstration, layer=layer)
    with console.waiting("saving"), atomic_folder(out, force=force) as partial:
        model.save_pretrained(str(partial))
    console.note(f'{out}: load it with SentenceTransformer("{out}") or PromptEOL("{out}")')
