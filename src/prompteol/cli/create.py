"""Run ``prompteol create`` and ``prompteol merge``: save a model in one folder."""

from __future__ import annotations

from typing import Annotated

from prompteol.cli import console
from prompteol.cli.model_options import LoadingOptions, ModelOptions, quiet, save
from prompteol.cli.options import ForceOption, ModelFolderOption, ModelOption, option
from prompteol.extras import check_extra
from prompteol.files.folders import check_folder


def create(
    *, model: ModelOption = None, output: ModelFolderOption, options: ModelOptions, force: ForceOption = False
) -> None:
    """Save a model with its prompt in one folder.

    SentenceTransformer("FOLDER") loads it, also where this package is not installed.
    """
    options.check(model)
    check_folder(output, force=force)
    save(options.load(model), output, force=force)
    console.note_saved(output)


def merge(
    *,
    model: Annotated[str, option("--model -m MODEL", "The folder or Hub name of the LoRA adapter to merge.")],
    output: ModelFolderOption,
    base: Annotated[
        str | None,
        option("--base BASE", "The folder or Hub name of the adapter's base model.", default="what the adapter names"),
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
    save(merged.model, output, force=force)
    console.note(
        f"{output}: differs from base plus adapter by {merged.from_parts:.1e} of the largest entry, from the base "
        f"alone by {merged.from_base:.1e}"
    )
    console.note_saved(output)
