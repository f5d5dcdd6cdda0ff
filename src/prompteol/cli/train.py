"""Run ``prompteol train``: train a base model to embed."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from prompteol.cli import console
from prompteol.cli import options as shared
from prompteol.cli.model_options import LoadingOptions, PromptOptions, quiet
from prompteol.cli.options import option
from prompteol.cli.progress import stage, stages
from prompteol.errors import SettingError
from prompteol.extras import check_extra
from prompteol.plots.picture import check_picture

if TYPE_CHECKING:
    from prompteol.data import TrainingExamples
    from prompteol.training import Point, Recipe, Training


def train(
    *,
    model: shared.ModelOption = None,
    output: shared.ModelFolderOption,
    data: Annotated[
        str,
        option(
            "--data DATA",
            "The rows to train on, in a file or a data set on the Hub: anchor, positive and perhaps hard negative; or "
            "texts.",
        ),
    ],
    column: shared.ColumnOption = None,
    delimiter: shared.DelimiterOption = None,
    dev: Annotated[
        Path | None, option("--dev FILE", "The file of scored sentence pairs to evaluate checkpoints on.")
    ] = None,
    dev_column: Annotated[
        list[str] | None,
        option(
            "--dev-column NAME [found by common names]",
            "The column of the --dev file; give it three times: for both sentences and the score.",
        ),
    ] = None,
    objective: Annotated[
        Literal["contrastive", "unsupervised", "distillation"],
        option(
            "--objective",
            "What the model learns: contrastive from positives, unsupervised from dropout, or distillation from a "
            "teacher.",
        ),
    ] = "contrastive",
    teacher: Annotated[
        list[str] | None,
        option(
            "--teacher TEACHER",
            "A teacher for distillation: a sentence-transformers model, or its vectors of the texts as .npy. May be "
            "repeated.",
        ),
    ] = None,
    combine: Annotated[
        Literal["concatenate", "average"],
        option("--combine", "How to combine the vectors of several teachers; average applies PCA first."),
    ] = "concatenate",
    extra_template: Annotated[
        list[str] | None,
        option(
            "--extra-template TEMPLATE",
            "A further template, a preset or a string with {text}, that is used for a share of each batch. May be "
            "repeated.",
        ),
    ] = None,
    extra_share: Annotated[
        float | None,
        option("--extra-share SHARE [0.25]", "The share of each batch that is put into an --extra-template."),
    ] = None,
    negatives: Annotated[
        Literal["sample", "all"],
        option(
            "--negatives",
            "For a row with several negatives: draw one for each positive, or make one row of each.",
        ),
    ] = "sample",
    data_license: Annotated[
        str | None,
        option("--data-license LICENSE [what the Hub states]", "The license of the data, for the model card."),
    ] = None,
    prompt: PromptOptions,
    lora_rank: Annotated[
        int, option("--lora-rank R", "The rank of the LoRA adapter; 0 trains all weights.", min=0)
    ] = 64,
    lora_alpha: Annotated[
        int, option("--lora-alpha A", "Scale the LoRA adapter by A divided by its rank.", min=1)
    ] = 16,
    lora_dropout: Annotated[
        float, option("--lora-dropout P", "The dropout in front of the LoRA adapter.", min=0)
    ] = 0.05,
    quantize: Annotated[
        bool | None,
        option(
            "--quantize/--no-quantize [on CUDA where bitsandbytes is installed]",
            "Load the base model of the LoRA adapter in 4 bits.",
        ),
    ] = None,
    bf16: Annotated[
        bool | None,
        option(
            "--bf16/--no-bf16 [on CUDA that has it]",
            "Compute in bfloat16 by autocast; the trained weights stay in fp32.",
        ),
    ] = None,
    temperature: Annotated[
        float | None, option("--temperature T [0.05]", "The temperature of the contrastive loss.")
    ] = None,
    learning_rate: Annotated[
        float | None, option("--learning-rate RATE [5e-4]", "The highest learning rate of AdamW.")
    ] = None,
    warmup_steps: Annotated[
        float | None,
        option(
            "--warmup-steps N [100]",
            "The steps over which the learning rate rises; a value below 1 is a share of all steps.",
        ),
    ] = None,
    batch_size: Annotated[
        int | None, option("--batch-size -b N [256]", "The rows of a batch, over all devices.")
    ] = None,
    mini_batch_size: Annotated[
        int | None,
        option(
            "--mini-batch-size N [the whole batch]",
            "The number of rows to embed at once; fewer need less memory and give the same gradients.",
        ),
    ] = None,
    packing: Annotated[
        bool | None,
        option(
            "--packing/--no-packing [but for unsupervised]",
            "Train with the packed forward: run what all prompts begin with once per pass, and pad no row.",
        ),
    ] = None,
    epochs: Annotated[float | None, option("--epochs N [1]", "The number of passes over the data.")] = None,
    max_text_tokens: Annotated[
        int | None, option("--max-text-tokens N [32]", "The number of tokens after which a text is cut.")
    ] = None,
    eval_steps: Annotated[
        int | None, option("--eval-steps N [50]", "The number of steps between two checkpoints.")
    ] = None,
    patience: Annotated[
        int | None, option("--patience N [never]", "Stop early after N checkpoints in a row without a better score.")
    ] = None,
    keep_step: Annotated[
        Literal["best", "last"],
        option("--keep", "The checkpoint to save: the best on the --dev pairs, or the last."),
    ] = "best",
    no_duplicates: Annotated[
        bool, option("--no-duplicates", "Never put two rows that share a text into one process's batch.")
    ] = False,
    seed: Annotated[int | None, option("--seed N [42]", "The seed of everything that is drawn at random.")] = None,
    plot: shared.PlotOption = None,
    loading: LoadingOptions,
    resume: shared.ResumeOption = False,
    force: shared.ForceOption = False,
) -> None:
    """Train a model to embed; by default the paper's recipe, which saves a LoRA adapter.

    All data is checked before training starts. After a stop, even by kill -9, --resume goes on.

    On several devices: torchrun --nproc-per-node N -m prompteol train ...
    """
    check_extra("training", "accelerate", "datasets", *(["peft"] if lora_rank else []))
    loaded_as = prompt.prompt() | loading.loading()
    from prompteol.data import read_examples, read_pairs
    from prompteol.plots.picture import plot_curve
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
        "keep": keep_step,
        "packing": packing,
        "extra_templates": tuple(extra_template) if extra_template else None,
        "extra_share": extra_share,
        "combine": combine,
        "seed": seed,
    }
    lora = Lora(lora_rank, lora_alpha, lora_dropout, quantize) if lora_rank else None
    recipe = Recipe(objective, lora, **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    reading: dict[str, Any] = {
        "license": data_license,
        "delimiter": delimiter,
        "negatives": negatives,
        "seed": recipe.seed,
    }
    examples = read_examples(data, objective, column or (), **reading)
    if dev_column and dev is None:
        raise SettingError(f"--dev-column {dev_column[0]} says nothing without --dev")
    pairs = None if dev is None else read_pairs(dev, dev_column or ())
    # The model is looked at by the training, after recipe and data.
    loading.check(None)
    loading.use_threads()
    check_picture(plot, force=force)
    # The one process that prints; torchrun and accelerate number them.
    first = os.environ.get("RANK", "0") == "0"
    if first:
        _advise(examples, recipe, no_duplicates=no_duplicates)
    quiet()
    arguments: dict[str, Any] = {"batch_sampler": "no_duplicates"} if no_duplicates else {}
    if bf16 is not None:
        arguments["bf16"] = bf16
    left = f"if {output} holds a checkpoint, the same command with --resume goes on from it" if first else None
    with console.when_stopped(left), stages(hidden=not first) as report:
        done = train_model(
            model,
            output,
            examples,
            recipe,
            dev=pairs,
            teacher=teacher,
            resume=resume,
            device=loading.device,
            watch=lambda now: report("training", now.step, now.steps, "steps", _point(now.last)),
            progress=partial(stage, report),
            arguments=arguments,
            **loaded_as,
        )
    if first:
        _conclude(done, recipe)
        if plot is not None:
            plot_curve(done.curve, plot, force=force)
            console.note(f"{plot}: loss and score by step")


def _advise(examples: TrainingExamples, recipe: Recipe, *, no_duplicates: bool) -> None:
    """Warn of settings that are allowed but seldom intended."""
    steps = int(len(examples) // recipe.batch_size * recipe.epochs)
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


def _point(point: Point | None) -> str:
    """Describe the newest point of the curve."""
    if point is None:
        return "no loss yet"
    return f"loss {point.loss:.3f}" if point.loss is not None else f"score {point.score:.2f}"


def _conclude(done: Training, recipe: Recipe) -> None:
    losses = [point for point in done.curve if point.loss is not None]
    if losses:
        console.note(f"loss {losses[0].loss:.4f} at step {losses[0].step}, {losses[-1].loss:.4f} at {losses[-1].step}")
    if done.kept is not None and done.before is not None:
        console.note(f"score {done.before:.2f} before, {done.kept.score:.2f} at step {done.kept.step}, which was kept")
    if done.verdict is not None:
        console.warning(done.verdict)
    out = done.output
    if recipe.lora is not None:
        console.note(f"{out}: an adapter; one model with its base: prompteol merge -m {out} -o {out}-merged")
    console.note_saved(out)
