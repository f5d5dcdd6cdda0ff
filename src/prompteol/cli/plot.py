"""``prompteol plot``: result files to a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from prompteol.cli import console
from prompteol.cli.options import IMAGES, ForceOption
from prompteol.plots.picture_file import check_picture

__all__ = ["plot"]


def plot(
    results: Annotated[
        list[Path], typer.Argument(metavar="RESULT", help="Files written by prompteol evaluate --json.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="IMAGE", help=f"A {IMAGES}.")],
    kind: Annotated[
        Literal["sts", "transfer", "scaling"],
        typer.Option("--kind", help="Bars for each task, or STS against the number of parameters."),
    ] = "sts",
    force: ForceOption = False,
) -> None:
    """Draw results: bars for each task, or scores against model size beside the paper's."""
    from prompteol.evaluation import read_results
    from prompteol.plots.evaluation import plot_scaling, plot_tasks

    evaluations = read_results(results)
    check_picture(output, force=force)
    if kind == "scaling":
        plot_scaling(evaluations, output, force=force)
    else:
        plot_tasks(evaluations, output, suite=kind, force=force)
    console.note(f"{output}: {len(evaluations)} results")
