"""Train a model from a base, data and a recipe, and save it in the portable form."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformerTrainer
from sentence_transformers.util import get_device_name
from transformers import TrainerCallback, set_seed

from prompteol.data import ScoredPairs, TrainingExamples
from prompteol.extras import check_extra
from prompteol.progress import Progress, no_progress
from prompteol.saving import remembering_frozen_weights
from prompteol.sentence_transformers import PromptEOL
from prompteol.training.callbacks import CurveWriter, DivergenceStop, ExactAdapter, Watcher, early_stopping, points
from prompteol.training.checkpoints import Workspace, checkpoint_step, read_state
from prompteol.training.combining import combine_teachers
from prompteol.training.inputs import (
    check_trainable,
    load_student,
    query_places,
    read_inputs,
    restore,
    taught_texts,
    training_dataset,
)
from prompteol.training.lora import attach_adapter, keeping_frozen_weights
from prompteol.training.losses import LossFactory, build_loss, loss_name
from prompteol.training.packing import chosen_rows
from prompteol.training.prompting import TrainingPrompts
from prompteol.training.recipe import Recipe
from prompteol.training.rehearsal import check_types, rehearse
from prompteol.training.result import Training, save_training
from prompteol.training.teacher import KnownTeacher, Teachers, as_teachers, described_teachers, shared_vectors
from prompteol.training.trainer import build_trainer, check_arguments, launched_processes, training_arguments
from prompteol.training.unwrapping import unwrapping


def train(
    model: str | Path | PromptEOL | None,
    output: str | Path,
    data: TrainingExamples | str | Path,
    recipe: Recipe | None = None,
    *,
    dev: ScoredPairs | str | Path | None = None,
    teacher: Teachers = None,
    loss: LossFactory | None = None,
    resume: bool = False,
    device: str | None = None,
    watch: Watcher | None = None,
    progress: Progress = no_progress,
    arguments: Mapping[str, Any] | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    **options: Any,
) -> Training:
    """Train a model, and save it in the portable form.

    With an adapter (the default) the adapter is what is saved; :func:`prompteol.training.merge` makes it one model
    with its base. Data, recipe and development pairs are checked to the last row before the base is loaded.

    Args:
        model: a base language model or a saved PromptEOL model, folder or Hub name; ``None`` is the small model that
            ships with the package. A model that is loaded already is trained in place.
        output: the folder of the result. While training runs it holds the checkpoints, the curves and the teacher's
            vectors.
        data: rows to train on, or a file or Hub name of them.
        recipe: the paper's by default.
        dev: scored pairs that the checkpoints are evaluated on, or a file of them.
        teacher: for distillation, one or a list; see :func:`prompteol.training.teacher_vectors`.
        loss: builds a loss in place of the recipe's, called with model, the teacher's vectors and recipe; a batch
            comes to it as to any loss of sentence-transformers.
        resume: go on from the last whole checkpoint in ``output``, if there is one.
        device: for instance ``"cuda"`` or ``"cpu"``; default: the best there is.
        watch: called with each :class:`TrainingProgress`, in place of the stock progress bar.
        progress: shows how far the teacher is.
        arguments: further ``SentenceTransformerTrainingArguments``, such as ``{"weight_decay": 0.01}``. Each wins over
            what is set here, or is refused where the recipe or another argument of this function decides it.
        callbacks: further ones for the trainer.
        options: further ones for ``PromptEOL`` where the model is loaded here, such as ``template`` or ``layer``.

    Raises:
        TrainingError: the rows cannot be trained on, ``output`` holds another training or cannot be written, or the
            training diverges: loss, score, weights or embeddings are no numbers, or all texts have one embedding.
        SettingError: the recipe does not fit the data, the model or the number of processes; one of ``arguments`` is
            decided elsewhere; or ``options`` are given with a model that is loaded already.
    """
    recipe = recipe or Recipe()
    check_extra("training", "accelerate", "datasets", *(["peft"] if recipe.lora is not None else []))
    teachers = as_teachers(teacher)
    examples, pairs = read_inputs(data, recipe, dev=dev, teachers=teachers)
    further = dict(arguments or {})
    check_arguments(further, recipe, scored=pairs is not None)
    check_types(further)
    workspace = Workspace(Path(output))
    if os.environ.get("RANK", "0") == "0":
        workspace.check(resume=resume)

    set_seed(recipe.seed)
    scored, quiet = pairs is not None, watch is not None
    build = partial(training_arguments, folder=workspace.checkpoints, scored=scored, quiet=quiet)
    if further and launched_processes() == 1:
        expected = model.device if isinstance(model, PromptEOL) else torch.device(device or get_device_name())
        rehearse(partial(build, recipe, device=expected), further)
    student = load_student(model, recipe.lora, device, options)
    recipe = replace(recipe, lora=check_trainable(student, recipe.lora))
    settings = build(recipe, device=student.device, further=further)
    first = settings.process_index == 0
    known = [KnownTeacher.load(one, str(student.device)) if first else None for one in teachers]
    given = {name: str(value) for name, value in sorted(further.items())}
    described: dict[str, Any] = {"teacher": described_teachers(known), "loss": loss_name(loss), "arguments": given}
    with workspace.alone():
        with settings.main_process_first(local=False, desc="looking into the folder"):
            if first:
                # What must be the same when a training is resumed.
                rows = {"data": examples.digest, "dev": pairs.digest if pairs else None}
                record = {"model": student.fingerprint(), **recipe.as_record(), **rows, **described}
                workspace.begin(record, resume=resume)
            checkpoint = workspace.last()
        settings.eval_on_start = pairs is not None and checkpoint is None
        if recipe.lora is not None:
            attach_adapter(student, recipe.lora)
        vectors = None
        if teachers:
            taught, dimension = taught_texts(examples), student.module.get_embedding_dimension()
            with settings.main_process_first(local=False, desc="the teachers' vectors"), workspace.kept_on_failure():
                found = [
                    shared_vectors(one, taught, workspace.vectors(number), loaded, progress)
                    for number, (one, loaded) in enumerate(zip(teachers, known, strict=True))
                ]
            vectors = combine_teachers(found, recipe.combine, dimension, recipe.seed)
        del known  # A teacher may be much larger than its student.

        of_queries, several = query_places(examples), settings.world_size > 1
        built = build_loss(student, recipe, vectors, factory=loss, queries=of_queries, distributed=several)
        prompts = TrainingPrompts(student, recipe)
        trainer = build_trainer(student, settings, training_dataset(examples, student, recipe), built, pairs, prompts)
        if checkpoint and recipe.lora is not None:
            trainer.add_callback(ExactAdapter(student, checkpoint))
        diverged = DivergenceStop(recipe, next(iter(examples.columns.values())))
        for callback in (diverged, CurveWriter(workspace.curve, watch), *callbacks):
            trainer.add_callback(callback)
        packed = chosen_rows(student, trainer, recipe, prompts.heads, own_loss=loss is not None)
        with workspace.kept_on_failure(), diverged.watching(trainer), unwrapping(student, trainer), packed:
            kept = _fit(trainer, recipe, checkpoint)
        if kept is not None:
            restore(student, kept)
        step = trainer.state.global_step if kept is None else checkpoint_step(kept)
        diverged.check(student, step)
        result = Training(student, Path(output), points(trainer.state.log_history), step)
        if trainer.is_world_process_zero():
            with workspace.kept_on_failure():
                save_training(result, recipe, examples, pairs, described)
        trainer.accelerator.wait_for_everyone()
        return result


def _fit(trainer: SentenceTransformerTrainer, recipe: Recipe, checkpoint: Path | None) -> str | None:
    """Train to the end, and return the checkpoint whose weights are kept; ``None`` where they are the last ones."""
    state = read_state(checkpoint) if checkpoint else None
    stopping = early_stopping(recipe.patience, state) if recipe.patience else None
    stopped = stopping and stopping.early_stopping_patience_counter >= stopping.early_stopping_patience
    if state is not None and (stopped or state.global_step >= state.max_steps):
        # The stock trainer would take one more step where an epoch is not whole.
        trainer.state = state
        return state.best_model_checkpoint or str(checkpoint)
    if stopping is not None:
        trainer.add_callback(stopping)
    kept_base = keeping_frozen_weights(trainer.model) if recipe.lora is not None else nullcontext()
    with remembering_frozen_weights(), kept_base:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    best: str | None = trainer.state.best_model_checkpoint
    return best
