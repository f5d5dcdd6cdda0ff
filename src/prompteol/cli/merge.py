"""Run ``prompteol merge``: save an adapter and its base as one model."""

from __future__ import annotations

from typing import Annotated

import typer

from prompteol.cli import console
from prompteol.cli.model_options import LoadingOptions, quiet
from prompteol.cli.options import ForceOption, ModelFolderOption
from prompteol.extras import check_extra
from prompteol.files.folders import atomic_folder, check_folder

__all__ = ["merge"]


def merge(
    *,
    model: Annotated[
        str,
        typer.Option("--model", "-m", metavar="MODEL", help="The folder or Hub name of the LoRA adapter to merge."),
    ],
    output: ModelFolderOption,
    base: Annotated[
        str | None,
        typer.Option(
            "--base",
            metavar="BASE",
            help="The folder or Hub name of the adapter's base model.",
            show_default="what the adapter names",
        ),
    ] = None,
    loading: LoadingOptions,
    force: ForceOption = False,
) -> None:
    """Merge an adapter with its base in full precision, and verify the result.

    The result must give the vectors of base plus adapter, and others than the base alone; else nothing is saved.
    """
    check_extra("adapters", "peft")
    loading.check(model)
    check_folder(output, force=force)
    with console.waiting("merging"):
        quiet()
        loading.use_threads()
        from prompteol.training import merge as merge_adapter

        merged = merge_adapter(model, base=base, device=loading.device, **loading.loading())
    with console.waiting("saving"), atomic_folder(output, force=force) as partial:
        merged.model.save_pretrained(str(partial))
    console.note(
        f"{output}: differs from base plus adapter by {merged.from_parts:.1e} of the largest entry, from the base "
        f"alone by {merged.from_base:.1e}"
    )
    console.note_saved(output)
