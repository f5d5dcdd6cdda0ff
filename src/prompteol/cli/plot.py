"""Run ``prompteol plot``: draw the results of evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from prompteol.cli import console
from prompteol.cli.options import IMAGES, ForceOption, option
from prompteol.plots.picture import check_picture


def plot(
    *,
    results: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="The files that prompteol evaluate --output wrote.")
    ],
    output: Annotated[Path, option("--output -o IMAGE", f"The picture to draw, a {IMAGES}.")],
    kind: Annotated[
        Literal["sts", "transfer", "scaling"],
        option(
            "--kind", "Draw bars for each task of sts or transfer, or for scaling STS against the number of parameters."
        ),
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
