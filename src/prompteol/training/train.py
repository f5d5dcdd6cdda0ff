"""Training itself: from a base, examples and a recipe to a model that everybody can load."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import TrainerCallback, set_seed

from prompteol.data import ScoredPairs
from prompteol.data.training_examples import TrainingExamples, read_examples
from prompteol.extras import check_extra
from prompteol.model.adapter import ExactAdapter, attach_adapter, base_options, check_trainable, restore
from prompteol.sentence_transformers import PromptEOL
from prompteol.training.arguments import check_arguments
from prompteol.training.card import base_license, training_section, with_former
from prompteol.training.checking import TrainingInputs, check_training, development_pairs
from prompteol.training.checkpoints import Workspace, checkpoint_step, read_state
from prompteol.training.curve import CurveWriter, Watcher, points
from prompteol.training.distillation import DistillationLoss, running_rows
from prompteol.training.divergence import DivergenceStop
from prompteol.training.early_stopping import early_stop, is_used_up
from prompteol.training.losses import contrastive_loss
from prompteol.training.recipe import Recipe
from prompteol.training.result import Training
from prompteol.training.teacher import (
    Advance,
    KnownTeacher,
    Teacher,
    Vectors,
    content_digest,
    fit_dimension,
    given_vectors,
    kept_vectors,
)
from prompteol.training.trainer_setup import build_trainer, launched_processes, training_arguments, training_dataset

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformerTrainingArguments
    from torch import nn

__all__ = ["Training", "train"]


def train(
    base: str | Path | PromptEOL | None,
    out: str | Path,
    examples: TrainingExamples | str | Path,
    recipe: Recipe | None = None,
    *,
    dev: ScoredPairs | str | Path | None = None,
    teacher: Teacher | None = None,
    running_text: TrainingExamples | str | Path | None = None,
    words: Vectors | None = None,
    resume: bool = False,
    device: str | None = None,
    watch: Watcher | None = None,
    advance: Advance | None = None,
    options: Mapping[str, Any] | None = None,
    arguments: Mapping[str, Any] | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> Training:
    """Train a model, and save it in the portable form.

    With an adapter (the default) the adapter is what is saved; :func:`prompteol.training.merge` makes it one model
    with its base. Data, recipe and development pairs are checked to the last row before the base is loaded.

    Args:
        base: a base language model or a saved PromptEOL model, folder or Hub name; ``None`` is the small model that
            ships with the package. A model that is loaded already is trained in place.
        out: the folder of the result. While training runs it holds the checkpoints, the curves and the teacher's
            vectors.
        examples: rows to train on, or a file or Hub name of them.
        recipe: the paper's by default.
        dev: scored pairs that the checkpoints are evaluated on, or a file of them.
        teacher: for distillation; see :func:`prompteol.training.teacher_vectors`.
        running_text: for distillation with a ``language_weight``: paragraphs, mixed evenly among the examples, that the
            next token is learned from.
        words: for distillation with a ``word_weight``: the teacher's vectors of the pieces of the base's tokenizer, of
            the same dimension as its vectors of the examples; zero where a piece is no word.
        resume: go on from the last whole checkpoint in ``out``, if there is one.
        device: for instance ``"cuda"`` or ``"cpu"``; default: the best there is.
        watch: called with each :class:`TrainingProgress`, in place of the stock progress bar.
        advance: called while the teacher embeds, with how many texts are done and of how many.
        options: further ones for ``PromptEOL`` where the base is loaded here, such as ``template`` or ``layer``.
        arguments: further ``SentenceTransformerTrainingArguments``, such as ``{"weight_decay": 0.01}``. Each wins over
            what is set here, or is refused where the recipe or another argument of this function decides it.
        callbacks: further ones for the trainer.

    Raises:
        TrainingError: the rows cannot be trained on, ``out`` holds another training or cannot be written, or the
            training diverges: loss, score, weights or embeddings are no numbers, or all texts have one embedding.
        SettingError: the recipe does not fit the data, the model or the number of processes; or one of ``arguments``
            is not the trainer's to decide.
        CorpusError: a file cannot be read.
        MissingExtraError: accelerate, datasets or peft is not installed.
        IncompatibleVersionError: they are, in versions that exclude each other.
    """
    recipe = recipe or Recipe()
    check_extra("training", "accelerate", "datasets", *(["peft"] if recipe.lora is not None else []))
    if not isinstance(examples, TrainingExamples):
        examples = read_examples(examples, recipe.objective, seed=recipe.seed)
    if running_text is not None and not isinstance(running_text, TrainingExamples):
        running_text = read_examples(running_text, "distillation")
    given = TrainingInputs(examples, development_pairs(dev), teacher, running_text, words)
    check_training(recipe, given)
    further = dict(arguments or {})
    check_arguments(further, recipe, scored=given.pairs is not None)
    workspace = Workspace(Path(out))
    if os.environ.get("RANK", "0") == "0":
        workspace.check(resume=resume)

    set_seed(recipe.seed)
    model = base if isinstance(base, PromptEOL) else _load(base, recipe, device, options or {})
    recipe = replace(recipe, lora=check_trainable(model, recipe.lora))
    settings = training_arguments(
        recipe,
        workspace.checkpoints,
        device=model.device,
        scored=given.pairs is not None,
        quiet=watch is not None,
        further=further,
    )
    first = settings.process_index == 0
    known = KnownTeacher.load(teacher, str(model.device)) if first and teacher is not None else None
    told = None if known is None else known.described
    with settings.main_process_first(local=False, desc="looking into the folder"):
        if first:
            workspace.begin(_about(model, recipe, given, told, further), resume=resume)
        checkpoint = workspace.last()
    settings.eval_on_start = given.pairs is not None and checkpoint is None
    if recipe.lora is not None:
        attach_adapter(model, recipe.lora)
    with settings.main_process_first(local=False, desc="the teacher's vectors"), workspace.kept_on_failure():
        loss = _loss(model, recipe, given, _vectors(given, known, workspace, advance), settings)
    del known  # A teacher may be much larger than its student.

    trainer = build_trainer(model, settings, training_dataset(examples, model, recipe, running_text), loss, given.pairs)
    remembered = read_state(checkpoint) if checkpoint else None
    stop = [early_stop(recipe.patience, remembered)] if recipe.patience else []
    exact = [ExactAdapter(model, str(checkpoint))] if checkpoint and recipe.lora is not None else []
    diverged = DivergenceStop(recipe, next(iter(examples.columns.values())))
    for callback in (*exact, diverged, CurveWriter(workspace.curve, watch), *stop, *callbacks):
        trainer.add_callback(callback)
    if remembered is not None and (remembered.global_step >= remembered.max_steps or any(map(is_used_up, stop))):
        # The stock trainer would take one more step where an epoch is not whole.
        trainer.state, kept = remembered, str(checkpoint)
    else:
        with workspace.kept_on_failure(), diverged.watching(trainer):
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        kept = None
    kept = trainer.state.best_model_checkpoint or kept
    if kept is not None:
        restore(model, kept)
    model.eval()
    step = trainer.state.global_step if kept is None else checkpoint_step(kept)
    diverged.check(model, step)
    result = Training(model, Path(out), points(trainer.state.log_history), step)
    if trainer.is_world_process_zero():
        with workspace.kept_on_failure():
            _save(result, recipe, given, told, further)
    trainer.accelerator.wait_for_everyone()
    return result


def _load(base: str | Path | None, recipe: Recipe, device: str | None, options: Mapping[str, Any]) -> PromptEOL:
    if torch.cuda.is_available() and launched_processes() > 1:
        # The base is quantized where it is loaded: each process on its own device.
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if base is not None and os.path.isdir(base):
        # An adapter names its base, and is looked at from other folders too.
        base = Path(base).resolve()
    return PromptEOL(base, device=device, **{"model_kwargs": base_options(recipe.lora, device), **options})


def _about(
    model: PromptEOL, recipe: Recipe, given: TrainingInputs, teacher: str | None, arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """Say what must be the same when a training is resumed."""
    return {
        "base": model.fingerprint(),
        **recipe.as_record(),
        "examples": given.examples.digest,
        "dev": given.pairs.digest if given.pairs else None,
        "teacher": teacher,
        "running_text": given.running_text.digest if given.running_text else None,
        "words": None if given.words is None else content_digest(given.words),
        "arguments": {name: str(value) for name, value in sorted(arguments.items())},
    }


def _vectors(
    given: TrainingInputs, teacher: KnownTeacher | None, workspace: Workspace, advance: Advance | None
) -> Vectors | None:
    """Return the teacher's vectors; only the first process has the teacher, and the others read what it wrote."""
    if given.teacher is None:
        return None
    texts = given.examples.columns["text"]
    if teacher is not None:
        return teacher.vectors(texts, workspace.vectors, advance)
    vectors = given_vectors(given.teacher, texts)
    return kept_vectors(texts, workspace.vectors) if vectors is None else vectors


def _loss(
    model: PromptEOL,
    recipe: Recipe,
    given: TrainingInputs,
    vectors: Vectors | None,
    settings: SentenceTransformerTrainingArguments,
) -> nn.Module:
    distributed = settings.world_size > 1
    if vectors is None:
        return contrastive_loss(model, recipe, distributed=distributed)
    words = given.words
    dimension = model.module.get_embedding_dimension()
    both = vectors if words is None else np.concatenate([vectors, words])
    targets = fit_dimension(both, dimension, recipe.seed) if both.shape[1] != dimension else both
    return DistillationLoss(
        model,
        targets[: len(vectors)],
        recipe,
        running=running_rows(given.running_text, model, recipe.max_running_tokens) if given.running_text else (),
        words=None if words is None else targets[len(vectors) :],
        distributed=distributed,
        precision=torch.bfloat16 if settings.bf16 else torch.float16 if settings.fp16 else None,
    )


def _save(
    result: Training, recipe: Recipe, given: TrainingInputs, teacher: str | None, arguments: Mapping[str, Any]
) -> None:
    model = result.model
    base = str(model.module.config.name_or_path)
    license = base_license(base)
    model.model_card_data.license = model.model_card_data.license or license
    model.provenance = {**model.provenance, "weights": f"{recipe.objective} training on {given.examples.name}"}
    section = training_section(
        recipe,
        given,
        result.curve,
        kept=result.kept,
        teacher=teacher,
        base=base,
        license=license,
        arguments=arguments,
    )
    model.training_notes = with_former(section, model.training_notes)
    model.save_pretrained(str(result.out))
