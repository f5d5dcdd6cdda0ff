"""Run ``prompteol create``: save a base model and a prompt as a model that stock sentence-transformers loads."""

from __future__ import annotations

from prompteol.cli import console
from prompteol.cli.model_options import ModelOptions
from prompteol.cli.options import ForceOption, ModelFolderOption, ModelOption
from prompteol.files.folders import atomic_folder, check_folder

__all__ = ["create"]


def create(
    *, model: ModelOption = None, output: ModelFolderOption, options: ModelOptions, force: ForceOption = False
) -> None:
    """Save a model with its prompt in one folder.

    SentenceTransformer("FOLDER") loads it, also where this package is not installed.
    """
    options.check(model)
    check_folder(output, force=force)
    created = options.load(model)
    with console.waiting("saving"), atomic_folder(output, force=force) as partial:
        created.save_pretrained(str(partial))
    console.note_saved(output)
