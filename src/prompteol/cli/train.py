"""``prompteol train``: a base, a recipe and data to a model that embeds."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from prompteol.cli import console
from prompteol.cli.options import (
    IMAGES,
    ColumnOption,
    DelimiterOption,
    DemonstrationOption,
    DeviceOption,
    LayerOption,
    TemplateOption,
    ThreadsOption,
    check_model,
    prompt_options,
    quiet,
    use_threads,
)
from prompteol.errors import SettingError
from prompteol.extras import check_extra
from prompteol.plots.picture_file import check_picture

if TYPE_CHECKING:
    from prompteol.data import TrainingExamples
    from prompteol.training import Point, Recipe, Training, TrainingProgress

__all__ = ["train"]

# Without a terminal nothing is longer unsaid.
_SILENCE_S = 30.0


def train(
    base: Annotated[
        str | None,
        typer.Argument(
            metavar="BASE",
            help="A causal LM or a saved model: folder or Hub name.",
            show_default="the model that ships with the package",
        ),
    ] = None,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="The folder to make.")],
    data: Annotated[
        str,
        typer.Option(
            "--data",
            metavar="DATA",
            help="Rows of anchor, positive and perhaps hard negative; or texts. A file, or a data set on the Hub.",
        ),
    ],
    dev: Annotated[
        Path | None,
        typer.Option("--dev", metavar="FILE", help="Scored pairs to evaluate checkpoints on."),
    ] = None,
    dev_column: Annotated[
        list[str] | None, typer.Option("--dev-column", metavar="NAME", help="Its two sentences and score, in turn.")
    ] = None,
    recipe: Annotated[
        Literal["contrastive", "unsupervised", "distillation"],
        typer.Option("--recipe", help="The paper's, the same with dropout as the only difference, or a teacher's."),
    ] = "contrastive",
    teacher: Annotated[
        str | None,
        typer.Option(
            "--teacher", metavar="TEACHER", help="A sentence-transformers model, or its vectors of the texts as .npy."
        ),
    ] = None,
    column: ColumnOption = None,
    delimiter: DelimiterOption = None,
    negatives: Annotated[
        Literal["sample", "all"],
        typer.Option("--negatives", help="Of a list of negatives: draw one for each positive, or a row with each."),
    ] = "sample",
    data_license: Annotated[
        str | None,
        typer.Option(
            "--data-license", metavar="LICENCE", help="For the model card.", show_default="what the Hub states"
        ),
    ] = None,
    template: TemplateOption = None,
    demonstration: DemonstrationOption = None,
    layer: LayerOption = None,
    lora_rank: Annotated[
        int, typer.Option("--lora-rank", metavar="R", min=0, help="Of the adapter; 0 trains all weights.")
    ] = 64,
    lora_alpha: Annotated[int, typer.Option("--lora-alpha", metavar="A", min=1, help="It is scaled by A / R.")] = 16,
    lora_dropout: Annotated[float, typer.Option("--lora-dropout", metavar="P", min=0, help="Before it.")] = 0.05,
    quantize: Annotated[
        bool | None,
        typer.Option(
            "--quantize/--no-quantize",
            help="Hold its base in 4 bits.",
            show_default="on CUDA where bitsandbytes is installed",
        ),
    ] = None,
    temperature: Annotated[float | None, typer.Option(metavar="T", help="Of InfoNCE.", show_default="0.05")] = None,
    learning_rate: Annotated[float | None, typer.Option(metavar="RATE", show_default="5e-4")] = None,
    warmup_steps: Annotated[
        float | None, typer.Option(metavar="N", help="Steps, or below 1 a share of all.", show_default="100")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", "-b", metavar="N", help="Over all devices.", show_default="256")
    ] = None,
    mini_batch_size: Annotated[
        int | None, typer.Option(metavar="N", help="Embed so many at once, in less memory.", show_default="all")
    ] = None,
    epochs: Annotated[float | None, typer.Option(metavar="N", show_default="1")] = None,
    max_text_tokens: Annotated[
        int | None, typer.Option(metavar="N", help="A text is cut to so many.", show_default="32")
    ] = None,
    eval_steps: Annotated[
        int | None, typer.Option(metavar="N", help="Steps between two checkpoints.", show_default="50")
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(metavar="N", help="Stop after so many checkpoints without a better one.", show_default="never"),
    ] = None,
    keep: Annotated[
        Literal["best", "last"], typer.Option("--keep", help="Of the checkpoints: the best by --dev, or the last.")
    ] = "best",
    language_weight: Annotated[
        float | None, typer.Option(metavar="W", help="Distillation: of the next-token loss.", show_default="0")
    ] = None,
    running_text: Annotated[
        str | None,
        typer.Option("--running-text", metavar="DATA", help="Distillation: what the next token is learned from."),
    ] = None,
    no_duplicates: Annotated[
        bool, typer.Option("--no-duplicates", help="Keep rows that share a text out of a process's batch.")
    ] = False,
    seed: Annotated[int | None, typer.Option(metavar="N", show_default="42")] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="IMAGE", help=f"Draw loss and score by step, to a {IMAGES}.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace the image if it exists.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in OUT.")] = False,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Train a model to embed; by default the paper's recipe, which leaves a LoRA adapter in OUT.

    Data is checked to the last row first. Stopped, even by kill -9, training goes on with --resume.

    On several devices: torchrun --nproc-per-node N -m prompteol train ...
    """
    check_extra("training", "accelerate", "datasets", *(["peft"] if lora_rank else []))
    options = prompt_options(template, demonstration, layer)
    from prompteol.data import read_examples, read_pairs
    from prompteol.plots.training import plot_curve
    from prompteol.training import Lora, Recipe
    from prompteol.training import train as train_model

    given = {
        "temperature": temperature,
        "learning_rate": learning_rate,
        "warmup_steps": int(warmup_steps) if warmup_steps is not None and warmup_steps >= 1 else warmup_steps,
        "batch_size": batch_size,
        "mini_batch_size": mini_batch_size,
        "epochs": epochs,
        "max_text_tokens": max_text_tokens,
        "eval_steps": eval_steps,
        "patience": patience,
        "keep": keep,
        "language_weight": language_weight,
        "seed": seed,
    }
    lora = Lora(lora_rank, lora_alpha, lora_dropout, quantize) if lora_rank else None
    chosen = Recipe(recipe, lora, **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    examples = read_examples(
        data,
        chosen.objective,
        column or (),
        license=data_license,
        delimiter=delimiter,
        negatives=negatives,
        seed=chosen.seed,
    )
    running = None if running_text is None else read_examples(running_text, "distillation")
    if dev_column and dev is None:
        raise SettingError(f"--dev-column {dev_column[0]} says nothing without --dev")
    pairs = None if dev is None else read_pairs(dev, dev_column or ())
    check_model(base, device=device)
    use_threads(threads)
    if plot is not None:
        check_picture(plot, force=force)
    if _is_first_process():
        _advise(examples, running, chosen, no_duplicates=no_duplicates)
    quiet()
    with _resumable(output), _bars() as bars:
        done = train_model(
            base,
            output,
            examples,
            chosen,
            dev=pairs,
            teacher=teacher,
            running_text=running,
            resume=resume,
            device=device,
            watch=bars.trained,
            advance=bars.embedded,
            options=options,
            arguments={"batch_sampler": "no_duplicates"} if no_duplicates else None,
        )
    if _is_first_process():
        _conclude(done, chosen)
        if plot is not None:
            plot_curve(done.curve, plot, force=force)
            console.note(f"{plot}: loss and score by step")


def _is_first_process() -> bool:
    """Whether this process is the one that speaks; torchrun and accelerate number them."""
    return os.environ.get("RANK", "0") == "0"


def _advise(
    examples: TrainingExamples, running: TrainingExamples | None, recipe: Recipe, *, no_duplicates: bool
) -> None:
    """Warn of what is allowed and seldom meant."""
    rows = len(examples) + (len(running) if running else 0)
    steps = int(rows // recipe.batch_size * recipe.epochs)
    if 0 < steps <= recipe.warmup_steps:
        console.warning(
            f"the rate rises for {recipe.warmup_steps} steps, and there are {steps}: give a share, --warmup-steps 0.1"
        )
    repeated = [] if no_duplicates else examples.repeated
    if repeated:
        first, again = repeated[0]
        console.warning(
            f"{examples.name}: {len(repeated)} rows have the positive of an earlier one ({again} that of {first}); in "
            "one batch it is a negative of its own anchor. Remove them, or add --no-duplicates"
        )


def _resumable(out: Path) -> AbstractContextManager[None]:
    left = f"if {out} holds a checkpoint, the same command with --resume goes on from it"
    return console.when_stopped(left if _is_first_process() else None)


class _Bars:
    """Show how far the teacher and the training are: in bars, or in a line now and then where there is no terminal."""

    def __init__(self, progress: Progress, *, lines: bool) -> None:
        self.progress = progress
        self.lines = lines
        self.teacher = progress.add_task("teacher", total=None, visible=False, unit="texts")
        self.training = progress.add_task("loading", total=None, unit="steps")
        self.point: Point | None = None
        self.said_at = -math.inf

    def embedded(self, done: int, total: int) -> None:
        self.progress.update(self.teacher, completed=done, total=total, visible=True)
        self._line(f"teacher: {done:,} of {total:,} texts", at_once=done == total)

    def trained(self, progress: TrainingProgress) -> None:
        shown, new = "training", progress.last is not None and progress.last != self.point
        self.point = progress.last
        if progress.last is not None:
            loss, score = progress.last.loss, progress.last.score
            shown = f"loss {loss:.3f}" if loss is not None else f"score {score:.2f}"
        self._line(f"step {progress.step:,} of {progress.steps:,}: {shown}", at_once=new or progress.step == 0)
        self.progress.update(self.training, completed=progress.step, total=progress.steps, description=shown)

    def _line(self, message: str, *, at_once: bool) -> None:
        """Say a new point at once, and else that the work goes on."""
        if self.lines and (at_once or time.monotonic() - self.said_at > _SILENCE_S):
            self.said_at = time.monotonic()
            console.note(message)


class _Rate(ProgressColumn):
    """How many steps or texts a second, and what is counted."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        unit = task.fields["unit"]
        return Text("" if speed is None else f"{speed:.3g} {unit}/s", style="progress.data.speed")


@contextmanager
def _bars() -> Iterator[_Bars]:
    err = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        _Rate(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    hidden = not err.is_terminal or not _is_first_process()
    with Progress(*columns, console=err, disable=hidden) as progress:
        yield _Bars(progress, lines=not err.is_terminal and _is_first_process())


def _conclude(done: Training, recipe: Recipe) -> None:
    losses = [point for point in done.curve if point.loss is not None]
    if losses:
        console.note(f"loss {losses[0].loss:.4f} at step {losses[0].step}, {losses[-1].loss:.4f} at {losses[-1].step}")
    if done.kept is not None and done.before is not None:
        console.note(f"score {done.before:.2f} before, {done.kept.score:.2f} at step {done.kept.step}, which was kept")
    if done.verdict is not None:
        console.warning(done.verdict)
    out = done.out
    if recipe.lora is not None:
        console.note(f"{out}: an adapter; one model with its base: prompteol merge {out} -o {out}-merged")
    console.note(f'{out}: load it with SentenceTransformer("{out}") or PromptEOL("{out}")')
