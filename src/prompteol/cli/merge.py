"""``prompteol merge``: an adapter and its base, saved as one model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prompteol.cli import console
from prompteol.cli.options import DeviceOption, ForceOption, check_model, quiet
from prompteol.extras import check_extra
from prompteol.files.folders import atomic_folder, check_folder

__all__ = ["merge"]


def merge(
    adapter: Annotated[str, typer.Argument(metavar="ADAPTER", help="A LoRA adapter: folder or Hub name.")],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="The folder to make.")],
    base: Annotated[
        str | None,
        typer.Option(
            "--base", metavar="BASE", help="Where its base lies: folder or Hub name.", show_default="what it names"
        ),
    ] = None,
    device: DeviceOption = None,
    force: ForceOption = False,
) -> None:
    """Merge an adapter with its base in full precision, and prove it.

    The result must give the vectors of base plus adapter, and others than the base alone; else nothing is saved.
    """
    check_extra("adapters", "peft")
    check_model(adapter, device=device)
    check_folder(output, force=force)
    with console.waiting("merging"):
        quiet()
        from prompteol.training import merge as merge_adapter

        merged = merge_adapter(adapter, base=base, device=device)
    with console.waiting("saving"), atomic_folder(output, force=force) as partial:
        merged.model.save_pretrained(str(partial))
    console.note(
        f"{output}: differs from base plus adapter by {merged.from_parts:.1e} of the largest entry, from the base "
        f'alone by {merged.from_base:.1e}; load it with SentenceTransformer("{output}") or PromptEOL("{output}")'
    )
