"""Training itself: from a base, examples and a recipe to a model that everybody can load."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import TrainerCallback, set_seed

from prompteol.extras import check_extra
from prompteol.search import Pairs
from prompteol.sentence_transformers import PromptEOL
from prompteol.training.adapter import ExactAdapter, attach_adapter, base_options, restore, settle_adapter
from prompteol.training.card import base_licence, training_section, with_former
from prompteol.training.checking import Material, check_training, development_pairs
from prompteol.training.checkpoints import Workspace, read_state
from prompteol.training.curve import CurveWriter, Point, Watcher, points
from prompteol.training.distillation import DistillationLoss, running_rows
from prompteol.training.examples import Examples, read_examples
from prompteol.training.losses import contrastive_loss
from prompteol.training.patience import early_stop, is_used_up
from prompteol.training.recipe import Keep, Recipe
from prompteol.training.stock import launched_processes, stock_arguments, stock_dataset, stock_trainer
from prompteol.training.teacher import Advance, Teacher, Vectors, fit_dimension, teacher_name, teacher_vectors

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformerTrainingArguments
    from torch import nn

__all__ = ["Training", "train"]


@dataclass(frozen=True)
class Training:
    """A training that is done.

    Args:
        model: with the weights of the checkpoint that was kept, or of the last where there were no development pairs.
        out: the folder that it is saved in.
        curve: loss and score by step.
        keep: which of the checkpoints was kept.
    """

    model: PromptEOL
    out: Path
    curve: Sequence[Point]
    keep: Keep = "best"

    @property
    def before(self) -> float | None:
        """The score of the base, where there were development pairs."""
        return next((point.score for point in self.curve if point.step == 0), None)

    @property
    def best(self) -> Point | None:
        """The evaluation with the highest score, where there were development pairs."""
        return max(self._scored(), key=lambda point: (point.score or 0.0, -point.step), default=None)

    @property
    def kept(self) -> Point | None:
        """The evaluation of the weights that were kept, where there were development pairs."""
        return self.best if self.keep == "best" else next(reversed(self._scored()), None)

    def _scored(self) -> list[Point]:
        return [point for point in self.curve if point.score is not None and point.step > 0]


def train(
    base: str | Path | PromptEOL | None,
    out: str | Path,
    examples: Examples | str | Path,
    recipe: Recipe | None = None,
    *,
    dev: Pairs | str | Path | None = None,
    teacher: Teacher | None = None,
    running_text: Examples | str | Path | None = None,
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
            next token is learnt from.
        words: for distillation with a ``word_weight``: the teacher's vectors of the pieces of the base's tokenizer, of
            the same dimension as its vectors of the examples; zero where a piece is no word.
        resume: go on from the last whole checkpoint in ``out``, if there is one.
        device: for instance ``"cuda"`` or ``"cpu"``; default: the best there is.
        watch: called with each :class:`Progress`, in place of the stock progress bar.
        advance: called while the teacher embeds, with how many texts are done and of how many.
        options: further ones for ``PromptEOL`` where the base is loaded here, such as ``template`` or ``layer``.
        arguments: further ``SentenceTransformerTrainingArguments``, over those of the recipe.
        callbacks: further ones for the trainer.

    Raises:
        TrainingError: the rows cannot be trained on, ``out`` holds another training or cannot be written, or the loss
            is no number.
        SettingError: the recipe does not fit the data, the model or the number of processes.
        CorpusError: a file cannot be read.
        MissingExtraError: accelerate, datasets or peft is not installed.
        IncompatibleVersionError: they are, in versions that exclude each other.
    """
    recipe = recipe or Recipe()
    check_extra("training", "accelerate", "datasets", *(["peft"] if recipe.lora is not None else []))
    examples = examples if isinstance(examples, Examples) else read_examples(examples, recipe.objective)
    if running_text is not None and not isinstance(running_text, Examples):
        running_text = read_examples(running_text, "distillation")
    given = Material(examples, development_pairs(dev), teacher, running_text, words)
    check_training(recipe, given)
    further = dict(arguments or {})
    workspace = Workspace(Path(out))
    if os.environ.get("RANK", "0") == "0":
        workspace.check(resume=resume)

    set_seed(recipe.seed)
    model = base if isinstance(base, PromptEOL) else _load(base, recipe, device, options or {})
    recipe = replace(recipe, lora=settle_adapter(model, recipe.lora))
    settings = stock_arguments(
        recipe,
        workspace.checkpoints,
        device=model.device,
        scored=given.pairs is not None,
        quiet=watch is not None,
        further=further,
    )
    with settings.main_process_first(local=False, desc="looking into the folder"):
        if settings.process_index == 0:
            workspace.begin(_about(model, recipe, given, further), resume=resume)
        checkpoint = workspace.last()
    settings.eval_on_start = given.pairs is not None and checkpoint is None
    if recipe.lora is not None:
        attach_adapter(model, recipe.lora)
    with settings.main_process_first(local=False, desc="the teacher's vectors"), workspace.kept_on_failure():
        loss = _loss(model, recipe, given, workspace, advance, settings)

    trainer = stock_trainer(model, settings, stock_dataset(examples, model, recipe, running_text), loss, given.pairs)
    remembered = read_state(checkpoint) if checkpoint else None
    stop = [early_stop(recipe.patience, remembered)] if recipe.patience else []
    exact = [ExactAdapter(model, str(checkpoint))] if checkpoint and recipe.lora is not None else []
    for callback in (*exact, CurveWriter(workspace.curve, watch), *stop, *callbacks):
        trainer.add_callback(callback)
    if remembered is not None and (remembered.global_step >= remembered.max_steps or any(map(is_used_up, stop))):
        # The stock trainer would take one more step where an epoch is not whole.
        trainer.state, kept = remembered, str(checkpoint)
    else:
        with workspace.kept_on_failure():
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        kept = None
    kept = trainer.state.best_model_checkpoint or kept
    if kept is not None:
        restore(model, kept)
    model.eval()
    result = Training(model, Path(out), points(trainer.state.log_history), recipe.keep)
    if trainer.is_world_process_zero():
        with workspace.kept_on_failure():
            _save(result, recipe, given, further)
    trainer.accelerator.wait_for_everyone()
    return result


def _load(base: str | Path | None, recipe: Recipe, device: str | None, options: Mapping[str, Any]) -> PromptEOL:
    if torch.cuda.is_available() and launched_processes() > 1:
        # The base is quantised where it is loaded: each process on its own device.
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if base is not None and os.path.isdir(base):
        # An adapter names its base, and is looked at from other folders too.
        base = Path(base).resolve()
    return PromptEOL(base, device=device, **{"model_kwargs": base_options(recipe.lora, device), **options})


def _about(model: PromptEOL, recipe: Recipe, given: Material, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Say what must be the same when a training is resumed."""
    return {
        "base": model.fingerprint(),
        **recipe.as_record(),
        "examples": given.examples.digest,
        "dev": given.pairs.digest if given.pairs else None,
        "teacher": None if given.teacher is None else teacher_name(given.teacher),
        "running_text": given.running_text.digest if given.running_text else None,
        "arguments": {name: str(value) for name, value in sorted(arguments.items())},
    }


def _loss(
    model: PromptEOL,
    recipe: Recipe,
    given: Material,
    workspace: Workspace,
    advance: Advance | None,
    settings: SentenceTransformerTrainingArguments,
) -> nn.Module:
    distributed = settings.world_size > 1
    if given.teacher is None:
        return contrastive_loss(model, recipe, distributed=distributed)
    texts, words = given.examples.columns["text"], given.words
    vectors = teacher_vectors(given.teacher, texts, workspace.vectors, device=str(model.device), advance=advance)
    dimension = model.module.get_embedding_dimension()
    both = vectors if words is None else np.concatenate([vectors, words])
    targets = fit_dimension(both, dimension, recipe.seed) if both.shape[1] != dimension else both
    return DistillationLoss(
        model,
        targets[: len(texts)],
        recipe,
        running=running_rows(given.running_text, model, recipe.max_running_tokens) if given.running_text else (),
        words=None if words is None else targets[len(texts) :],
        distributed=distributed,
        precision=torch.bfloat16 if settings.bf16 else torch.float16 if settings.fp16 else None,
    )


def _save(result: Training, recipe: Recipe, given: Material, arguments: Mapping[str, Any]) -> None:
    model = result.model
    base = str(model.module.config.name_or_path)
    licence = base_licence(base)
    model.model_card_data.license = model.model_card_data.license or licence
    model.chosen = {**model.chosen, "weights": f"{recipe.objective} training on {given.examples.name}"}
    section = training_section(
        recipe, given, result.curve, kept=result.kept, base=base, licence=licence, arguments=arguments
    )
    model.notes = with_former(section, model.notes)
    model.save_pretrained(str(result.out))
