"""Train on packed rows: what prompts begin with is computed once a forward, and no row is padded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from prompteol.errors import SettingError
from prompteol.inference import TrainingEngine
from prompteol.inference.packing import TokenRow
from prompteol.prompts import PROMPT_TASKS
from prompteol.sentence_transformers import PromptEOL
from prompteol.training.recipe import Recipe

if TYPE_CHECKING:
    from transformers import Trainer


@contextmanager
def packed_rows(model: PromptEOL, heads: Iterable[TokenRow] = ()) -> Iterator[TrainingEngine]:
    """Embed in the block, in training mode, on packed rows behind shared heads, with gradient.

    Embeddings have no states of all tokens beside them then. ``heads`` are token ids that rows of further prompts start
    with.
    """
    module = model.module
    own = (one.head(task) for one in module.prompt_tokenizers() for task in (None, *PROMPT_TASKS))
    engine = TrainingEngine(module.transformer.model, [*own, *heads], attention=module.attention)
    module.training_engine = engine
    try:
        yield engine
    finally:
        module.training_engine = None


def chosen_rows(
    model: PromptEOL, trainer: Trainer, recipe: Recipe, heads: Iterable[TokenRow], *, own_loss: bool
) -> AbstractContextManager[TrainingEngine | None]:
    """Return :func:`packed_rows` where a recipe asks for it, else a block that changes nothing.

    ``own_loss`` tells that the loss is one of the caller's, which may read the states of all tokens.
    """
    sharded = trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
    if recipe.packing and sharded:
        raise SettingError("packing=True: weights are sharded, and a pack runs past what gathers them; leave it out")
    unfit = own_loss or sharded or recipe.objective == "unsupervised" or model.module.engine == "stock"
    return packed_rows(model, heads) if (not unfit if recipe.packing is None else recipe.packing) else nullcontext()
